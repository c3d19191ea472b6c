"""Ends a family of processes when the one that started them is gone, however it went.

Run as a script, alone in a new process group that the family joins where its members have no sessions of their own.
Standard input is a pipe from the starter: its end of file is the starter's death. The descriptor given as argument is a
pipe that every member holds open: who does is one, and its end of file says that all have ended. Only the standard
library is used, so that it starts at once.
"""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator

GRACE_SECONDS = 8.0


def watch(alive: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    _send(alive, signal.SIGCONT, signal.SIGTERM)
    select.select([alive], [], [], GRACE_SECONDS)
    _send(alive, signal.SIGKILL)


def _send(alive: int, *numbers: signal.Signals) -> None:
    for pid in _holders(alive):
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    for number in numbers:
        os.killpg(0, number)


def _holders(alive: int) -> Iterator[int]:
    """Who else holds the pipe, where /proc tells."""
    pipe = os.fstat(alive)
    for pid in map(int, filter(str.isdecimal, _names("/proc"))):
        if pid != os.getpid() and any(_is(pipe, f"/proc/{pid}/fd/{name}") for name in _names(f"/proc/{pid}/fd")):
            yield pid


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # it is gone, or somebody else's
        return []


def _is(file: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(file, os.stat(path))
    except OSError:
        return False


if __name__ == "__main__":
    watch(int(sys.argv[1]))
