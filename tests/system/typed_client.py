"""A client in a child process (`dragoman client` or another one), into which a test types."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.support.commands import DRAGOMAN, ROOT
from tests.support.waiting import WAIT_SECONDS

CLIENT = (*DRAGOMAN, "client")


class TypedClient:
    """A client that reads its input from a pipe.

    Each call of `expect` continues after the line that the previous call has found.
    """

    def __init__(self, server: str, *options: str, command: Sequence[str] = CLIENT) -> None:
        self._process = subprocess.Popen(
            [*command, server, *options], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip
        self._shown: list[str] = []
        self._seen = 0
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._reader.join()
        self._process.__exit__(None, None, None)

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")

    def end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def expect(self, text: str) -> str:
        """Returns the next line that contains the text."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while True:
                for at in range(self._seen, len(self._shown)):
                    if text in self._shown[at]:
                        self._seen = at + 1
                        return self._shown[at]
                assert self._changed.wait(deadline - time.monotonic()), (text, self._shown)

    def status(self) -> int:
        """Waits a short time for the end of the client, and returns its exit status."""
        return self._process.wait(WAIT_SECONDS)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._changed:
                self._shown.append(line.rstrip("\n"))
                self._changed.notify_all()


class ScreenReader:
    """Reads the text that a program writes to a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = ""

    def expect(self, text: str) -> None:
        """Reads until this text has appeared. Drops the output up to the end of this text."""
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self._text:
            assert time.monotonic() < deadline, (text, self._text)
            try:
                self._text += os.read(self._descriptor, 4096).decode(errors="replace")
            except OSError:  # the program has ended
                raise AssertionError((text, self._text)) from None
        self._text = self._text.partition(text)[2]
