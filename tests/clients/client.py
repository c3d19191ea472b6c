"""What a client of any dialect can do, for tests that drive several of them alike.

A client sends in its dialect's words and reads frames as `Sight`s: what its user sees. Frames that are not as the
dialect's document has them are Malformed.
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
    """No such frame is in the document."""


class RequestRejected(Exception):
    """The answer to a request is the dialect's error; its words."""


@dataclass(frozen=True)
class Sight:
    """What a frame shows; `facts` are what the server alone decides: a message's id, index, time (`ms`, `seconds`)."""

    kind: str
    values: dict[str, Any]
    facts: dict[str, int] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.values}"


@dataclass
class Account:
    """`password` is plain; `secret` and a `uuid` of its own has who comes from service. `token` is the newest."""

    tag: str
    id: int = 0
    token: str = ""
    uuid: str = ""
    secret: str = ""
    salt: str = "open"
    """What the password is made with; another one makes a wrong one."""

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
    """One connection. Frames that were not asked for stay `pending`."""

    dialect: ClassVar[str]
    sees_own: ClassVar[bool]
    """One's own messages come back, and that is their acknowledgement; otherwise there is a reply."""

    def __init__(self, edge: str, *, bare: bool = False) -> None:
        """`bare`: by an address that does not tell the dialect; the first frame does."""
        self.line = Line(f"{edge}/" if bare else f"{edge}/ws/{self.dialect}")
        self.account = Account("nobody")
        self.pending: deque[str] = deque()

    # To be said in the dialect's words

    def register(self, account: Account, name: str) -> None:
        """Fills in the account's id, and its token where the dialect tells it."""
        raise NotImplementedError

    def login(self, account: Account) -> None:
        """Raises Refused."""
        raise NotImplementedError

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        """In a chat; `to`: the other one of a private chat, which may not be there yet."""
        raise NotImplementedError

    def acknowledged(self) -> int:
        """The reply to a message, where it does not come back: its index, or 0. Raises Refused."""
        raise NotImplementedError

    def sight(self, frame: str) -> Sight | None:
        """What a push shows; None for replies. Raises Malformed."""
        raise NotImplementedError

    # Frames

    def see(self, seconds: float = SECONDS) -> Sight:
        """The next push. Raises TimeoutError."""
        frame = self.pending.popleft() if self.pending else self.line.read(seconds)
        sight = self.sight(frame)
        if sight is None:
            raise Malformed(f"an answer that nobody asked for: {frame}")
        return sight

    def last_sights(self) -> list[Sight]:
        """Close in order; what had come before the end."""
        self.line.close()
        sights: list[Sight] = []
        with suppress(ConnectionClosed):
            while True:
                sights.append(self.see(0))
        return sights

    def reply(self) -> str:
        """The next frame that is no push."""
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
    """An object that has these members, and of these types; others are left out. Raises Malformed."""
    if not isinstance(value, dict) or any(type(value.get(name)) is not kind for name, kind in types.items()):
        raise Malformed(f"{value} has not {types}")
    return {name: value[name] for name in types}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 (the protocol's choice)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
