"""The interface that all clients of the tests have, so that one test can drive several dialects.

A client sends frames of its dialect, and reads frames as `Sight`s, which hold the data that its user would see. A
client raises Malformed for a frame that the dialect's document does not describe.
"""

import hashlib
import json
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from websockets.exceptions import ConnectionClosed

from tests.clients.line import SECONDS, Line

Segment = str | int
"""A text, or an emoji's number."""


class Malformed(AssertionError):
    """The server has sent a frame that the dialect's document does not describe."""


class RequestRejected(Exception):
    """The reply to a request is an error of the dialect. The exception holds the error's text."""


@dataclass(frozen=True)
class Sight:
    """What a frame shows to the user.

    `facts` are the values that only the server can decide: a message's id, index and time (`ms` or `seconds`).
    """

    kind: str
    values: dict[str, Any]
    facts: dict[str, int] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.values}"


@dataclass
class Account:
    """An account and its credentials.

    `password` is plain text; `token` is the newest token. In the dialect service, accounts have their own `secret` and
    `uuid`.
    """

    tag: str
    id: int = 0
    token: str = ""
    uuid: str = ""
    secret: str = ""
    salt: str = "open"
    """A part of the password. An account with another salt has a wrong password."""

    @property
    def email(self) -> str:
        return f"{self.tag}@dragoman.test"

    @property
    def password(self) -> str:
        return f"{self.salt} {self.tag}"

    @property
    def ocid(self) -> str:
        return f"{self.id:010d}"


class Client:
    """One connection of a user. Pushed frames that no call waited for are kept in `pending`."""

    dialect: ClassVar[str]
    sees_own: ClassVar[bool]
    """Whether a sender gets its own message as a push, which acknowledges it. If false, the sender gets a reply."""

    def __init__(self, edge: str, *, bare: bool = False) -> None:
        """If `bare`, connects to `/`, where the first frame decides which dialect is used."""
        self.line = Line(f"{edge}/" if bare else f"{edge}/ws/{self.dialect}")
        self.account = Account("nobody")
        self.pending: deque[str] = deque()

    # The methods below send messages in the dialect's frames.

    def register(self, account: Account, name: str) -> None:
        """Sets the account's id, and its token if the dialect shows it."""
        raise NotImplementedError

    def login(self, account: Account) -> None:
        """Raises RequestRejected."""
        raise NotImplementedError

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        """Sends a message to a chat. `to` is the other member of a private chat, which may not exist yet."""
        raise NotImplementedError

    def acknowledged(self) -> int:
        """Reads the reply to a message, in a dialect without echoes.

        Returns the message's index, or 0. Raises RequestRejected.
        """
        raise NotImplementedError

    def sight(self, frame: str) -> Sight | None:
        """Returns what a push shows, or None for a reply. Raises Malformed."""
        raise NotImplementedError

    def see(self, seconds: float = SECONDS) -> Sight:
        """Returns the next push. Raises TimeoutError."""
        frame = self.pending.popleft() if self.pending else self.line.read(seconds)
        sight = self.sight(frame)
        if sight is None:
            raise Malformed(f"an unexpected reply: {frame}")
        return sight

    def last_sights(self) -> list[Sight]:
        """Closes the connection with a closing handshake, and returns the pushes that arrived before its end."""
        self.line.close()
        sights: list[Sight] = []
        with suppress(ConnectionClosed):
            while True:
                sights.append(self.see(0))
        return sights

    def reply(self) -> str:
        """Returns the next frame that is not a push."""
        deadline = time.monotonic() + SECONDS
        while self.sight(frame := self.line.read(deadline - time.monotonic())) is not None:
            self.pending.append(frame)
        return frame


def parsed(frame: str) -> dict[str, Any]:
    value = json.loads(frame)
    if not isinstance(value, dict):
        raise Malformed(frame)
    return value


def shaped(value: Any, **types: type) -> dict[str, Any]:
    """Checks that an object has exactly these members, with values of these types. Raises Malformed."""
    if not isinstance(value, dict) or any(type(value.get(name)) is not kind for name, kind in types.items()):
        raise Malformed(f"{value} has not {types}")
    return {name: value[name] for name in types}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 (the protocol's choice)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
