"""A family of child processes: apart from the terminal's signals, and never outliving the one that started it."""

import os
import subprocess
import sys
from types import TracebackType
from typing import TypedDict

from services.cli import guard


class Belonging(TypedDict):
    """Arguments for subprocess that make a process a member."""

    process_group: int
    pass_fds: tuple[int, ...]
    stdin: int


class Family:
    """Starts its guard at once; see guard.py. Closing it leaves whoever is still there to the guard, and waits."""

    def __init__(self) -> None:
        alive, self._alive = os.pipe()
        self._guard = subprocess.Popen(
            [sys.executable, "-E", "-S", guard.__file__, str(alive)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(alive,),
            process_group=0,
        )
        os.close(alive)

    @property
    def belonging(self) -> Belonging:
        return {"process_group": self._guard.pid, "pass_fds": (self._alive,), "stdin": subprocess.DEVNULL}

    def close(self) -> None:
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            os.close(self._alive)
            self._guard.stdin.close()
        self._guard.wait()

    def __enter__(self) -> "Family":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
