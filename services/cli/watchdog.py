"""Ends a group of processes when the process that started them has ended, even by SIGKILL.

Runs as a script in a new process group, which the members join unless they have sessions of their own. Standard input
is a pipe from the starter: end of file means that the starter has ended. The argument is the descriptor of a pipe that
every member holds open: its holders are the members, and end of file means that all have ended. Imports only the
standard library, so that it starts fast.
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
    """Process ids of the pipe's other holders, on systems with /proc."""
    pipe = os.fstat(alive)
    for pid in map(int, filter(str.isdecimal, _names("/proc"))):
        if pid != os.getpid() and any(_is(pipe, f"/proc/{pid}/fd/{name}") for name in _names(f"/proc/{pid}/fd")):
            yield pid


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # the process has ended, or belongs to another user
        return []


def _is(file: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(file, os.stat(path))
    except OSError:
        return False


if __name__ == "__main__":
    watch(int(sys.argv[1]))
