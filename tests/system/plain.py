"""Clients of plain TCP for tests from outside: a socket, and one line for each message that comes."""

import json
import socket
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.system.people import SECONDS

Frame = dict[str, Any]


class Plain:
    """`address` is tcp://host:port."""

    def __init__(self, address: str) -> None:
        place = urlsplit(address)
        assert place.hostname is not None
        assert place.port is not None
        self.socket = socket.create_connection((place.hostname, place.port), timeout=SECONDS)
        self._lines = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with closing(self.socket), closing(self._lines):
            return

    def send(self, *frames: Frame | str | bytes) -> None:
        """All in one piece: a str or bytes as they are, an object as JSON."""
        self.socket.sendall(b"".join(map(_bytes, frames)))

    def line(self) -> str:
        """The next one, without its end; empty at the end of the stream."""
        return self._lines.readline().decode().removesuffix("\n")

    def frame(self) -> Frame:
        frame: Frame = json.loads(self.line())
        return frame

    def take(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first frame that is wanted; those before it are dropped."""
        while not wanted(frame := self.frame()):
            pass
        return frame

    def code(self, code: int) -> Frame:
        return self.take(lambda frame: frame["code"] == code)

    def ask(self, request: Frame, code: int) -> Frame:
        self.send(request)
        return self.code(code)

    def end(self) -> None:
        """Nothing more is sent; what comes is still read."""
        self.socket.shutdown(socket.SHUT_WR)


def _bytes(frame: Frame | str | bytes) -> bytes:
    if isinstance(frame, bytes):
        return frame
    return (json.dumps(frame, ensure_ascii=False) if isinstance(frame, dict) else frame).encode()
