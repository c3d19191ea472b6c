"""People who speak any dialect, for tests from outside: frames as they are on the wire, every wait bounded."""

import base64
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

from websockets.sync.client import connect

SECONDS = 10.0


class Speaker:
    """One connection. Frames that were not looked for stay `pending`, in order. `number` is the OC number of the
    account, `tag` what its names are made of and its password."""

    def __init__(self, edge: str, dialect: str) -> None:
        self.pending: list[str] = []
        self.dialect = dialect
        self.tag = secrets.token_hex(6)
        self.uuid = str(uuid.uuid4())
        """Of who registers by it."""
        self.number = 0
        self.token = ""
        self._dialled = connect(
            f"{edge}/ws/{dialect}", max_size=None, max_queue=None, open_timeout=SECONDS, close_timeout=1,
            ping_interval=None, proxy=None, compression=None,
        )  # fmt: skip
        self.socket = self._dialled.__enter__()

    def __enter__(self) -> "Speaker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dialled.__exit__(kind, error, trace)

    def say(self, frame: str | bytes | dict[str, Any]) -> None:
        self.socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    def read(self, seconds: float = SECONDS) -> str:
        """The next frame off the wire. Raises TimeoutError, ConnectionClosed."""
        frame = self.socket.recv(timeout=max(seconds, 0))
        assert isinstance(frame, str)
        return frame

    def hear(self, *parts: str, seconds: float = SECONDS) -> str:
        """The first frame that holds all these parts; the others stay pending."""
        for frame in self.pending:
            if all(part in frame for part in parts):
                self.pending.remove(frame)
                return frame
        deadline = time.monotonic() + seconds
        while True:
            try:
                frame = self.read(deadline - time.monotonic())
            except TimeoutError:
                raise AssertionError(f"{parts} not heard, but {self.pending}") from None
            if all(part in frame for part in parts):
                return frame
            self.pending.append(frame)

    def ask(self, frame: str | bytes | dict[str, Any], *parts: str) -> str:
        self.say(frame)
        return self.hear(*parts)

    # Coming in

    @property
    def md5(self) -> str:
        return hashlib.md5(self.tag.encode()).hexdigest()  # noqa: S324 (the protocol's choice)

    @property
    def mail(self) -> str:
        return f"s{self.tag}@dragoman.test"

    def register(self) -> "Speaker":
        """A new account, logged in."""
        _LOGIN_CODES[self.dialect](self)
        return self

    def login_v1(self, number: int, password: str) -> None:
        """Also as an account that was registered in another dialect."""
        self.number = number
        self.ask({"code": 6, "time": 0, "data": {"account": number, "password": password}}, '"state":0')


def _v0(one: Speaker) -> None:
    answer = one.ask({"code": 4, "data": {"mail": one.mail, "password": one.tag}}, '"state":0')
    one.number = int(json.loads(answer)["data"]["ocId"])


def _v1(one: Speaker) -> None:
    data = {"email": one.mail, "password": one.tag, "name": f"v1-{one.tag}"}
    one.number = json.loads(one.ask({"code": 4, "time": 0, "data": data}, '"state":0'))["data"]["ocId"]


def _v2(one: Speaker) -> None:
    answer = one.ask({"code": 4, "email": one.mail, "password": one.tag, "name": f"v2-{one.tag}"}, '"status":0')
    one.number = int(json.loads(answer)["ocid"])


def _pipe(one: Speaker) -> None:
    one.ask(f"register|{one.tag}|{one.md5}|p-{one.tag}|1||1|answer|0", "register_succ|")
    _, _, number, one.token, _ = one.ask(f"login|{one.tag}|{one.md5}", "login_succ|").split("|")
    one.number = int(number)


def _service(one: Speaker) -> None:
    answer = one.ask({"service_code": 2, "content": {"id": one.uuid, "token": one.tag}}, '"success"')
    one.token = json.loads(answer)["content"]["token"]
    claims = one.token.split(".")[1]
    one.number = int(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])


_LOGIN_CODES: dict[str, Callable[[Speaker], None]] = {
    "ourchat-v0": _v0, "ourchat-v1": _v1, "ourchat-v2": _v2, "pipe": _pipe, "service": _service,
}  # fmt: skip
