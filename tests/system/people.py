"""Clients of OurChat v2 for tests from outside: synchronous, every wait bounded, no frame lost between two looks."""

import hashlib
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SECONDS = 10.0
PATH = "/ws/ourchat-v2"

Frame = dict[str, Any]


@dataclass
class Account:
    tag: str = field(default_factory=lambda: secrets.token_hex(6))
    ocid: int = 0

    @property
    def email(self) -> str:
        return f"u{self.tag}@dragoman.test"

    @property
    def secret(self) -> str:
        return hashlib.sha256(self.tag.encode()).hexdigest()


class Client:
    """One connection. Frames that were not looked for stay `pending`, in order."""

    def __init__(self, edge: str, path: str = PATH) -> None:
        self.pending: deque[Frame] = deque()
        self.account = Account()
        self._dialled = connect(
            edge + path, max_size=None, max_queue=None, open_timeout=SECONDS, close_timeout=1, ping_interval=None,
            proxy=None, compression=None,
        )  # fmt: skip
        self.socket = self._dialled.__enter__()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dialled.__exit__(kind, error, trace)

    def send(self, frame: Frame | str | bytes | Iterable[str]) -> None:
        """A str, bytes or pieces as they are, an object as JSON."""
        self.socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    def read(self, seconds: float = SECONDS) -> Frame:
        """The next frame off the wire. Raises TimeoutError, ConnectionClosed."""
        frame: Frame = json.loads(self.socket.recv(timeout=max(seconds, 0)))
        return frame

    def take(self, wanted: Callable[[Frame], bool], seconds: float = SECONDS) -> Frame:
        """The first frame that is wanted; the others stay pending."""
        for frame in self.pending:
            if wanted(frame):
                self.pending.remove(frame)
                return frame
        deadline = time.monotonic() + seconds
        while not wanted(frame := self.read(deadline - time.monotonic())):
            self.pending.append(frame)
        return frame

    def code(self, *codes: int, seconds: float = SECONDS) -> Frame:
        return self.take(lambda frame: frame["code"] in codes, seconds)

    def ask(self, frame: Frame, *codes: int, seconds: float = SECONDS) -> Frame:
        self.send(frame)
        return self.code(*codes, seconds=seconds)

    def closed(self, seconds: float = SECONDS) -> int:
        """The code the server closes with, soon."""
        deadline = time.monotonic() + seconds
        with suppress(ConnectionClosed):
            while True:
                self.pending.append(self.read(deadline - time.monotonic()))
        assert self.socket.close_code is not None
        return self.socket.close_code

    # What people do

    def register(self, account: Account | None = None) -> "Client":
        self.account = account or Account()
        self.account.ocid = int(self.ask(self.registration(self.account), 5)["ocid"])
        return self

    @staticmethod
    def registration(account: Account) -> Frame:
        return {"code": 4, "email": account.email, "password": account.secret, "name": f"名{account.tag}"}

    def login(self, account: Account) -> Frame:
        self.account = account
        ocid = f"{account.ocid:010d}"
        return self.ask({"code": 6, "login_type": 1, "account": ocid, "password": account.secret}, 7, 13)

    def session(self, *others: "Client") -> int:
        """A session of these people; everybody lists it, so that nothing is held back."""
        members = [f"{other.account.ocid:010d}" for other in others]
        session = int(self.ask({"code": 8, "members": members}, 9)["session_id"])
        for other in others:
            other.take(lambda frame: frame["code"] == 9 and frame["session_id"] == str(session))
        for one in (self, *others):
            one.list_session(session)
        return session

    def list_session(self, session: int) -> None:
        self.ask({"code": 1, "session_id": str(session), "request_values": ["session_id"]}, 2)

    def text(self, session: int, text: str) -> Frame:
        sender = {"ocid": f"{self.account.ocid:010d}", "session_id": str(session)}
        return {"code": 0, "time": 0, "sender": sender, "msg": [{"type": 0, "text": text}]}

    def say(self, session: int, text: str, seconds: float = SECONDS) -> Frame:
        """Said, and acknowledged."""
        self.send(self.text(session, text))
        return self.hears(text, seconds)

    def hears(self, text: str, seconds: float = SECONDS) -> Frame:
        return self.take(lambda frame: frame["code"] == 0 and frame["msg"][0]["text"] == text, seconds)

    def hears_nothing(self, seconds: float = 0.2) -> None:
        """Nothing is pending, and nothing comes."""
        assert not self.pending
        try:
            raise AssertionError(f"unexpected: {self.read(seconds)}")
        except TimeoutError:
            return
