"""Ends a group of processes when the process that started them has ended, even by SIGKILL.

The watchdog is a script in a new process group. The members join this group, unless they have sessions of their own.
The standard input of the script is a pipe from the process that has started it. The last line of the input has the
process ids of the members that must end first. The end of the input means that the starter has ended. The argument of
the script is the descriptor of a second pipe, which every member holds open. The end of this pipe means that all
members have ended. The script imports only the standard library, so that it starts fast.
"""

import contextlib
import os
import select
import signal
import sys
import time

FIRST_SECONDS = 10.0
GRACE_SECONDS = 8.0
_POLL_SECONDS = 0.05


def watch(alive: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    first = [pid for pid in _until_starter_ended() if _is_member(alive, pid)]
    for pid in first:
        _send(pid, signal.SIGCONT, signal.SIGTERM)
    deadline = time.monotonic() + FIRST_SECONDS
    while time.monotonic() < deadline and any(_is_member(alive, pid) for pid in first):
        time.sleep(_POLL_SECONDS)
    _send_all(alive, signal.SIGCONT, signal.SIGTERM)
    select.select([alive], [], [], GRACE_SECONDS)
    _send_all(alive, signal.SIGKILL)


def _until_starter_ended() -> list[int]:
    """Wait until the starter has ended. Returns the members that must end first."""
    text = b""
    while chunk := os.read(0, 4096):
        text = b"\n".join((text + chunk).split(b"\n")[-2:])
    return [int(pid) for pid in text.rpartition(b"\n")[0].split()]


def _send_all(alive: int, *numbers: signal.Signals) -> None:
    for pid in map(int, filter(str.isdecimal, _names("/proc"))):
        if pid != os.getpid() and _holds(alive, pid):
            _send(pid, *numbers)
    for number in numbers:
        os.killpg(0, number)


def _send(pid: int, *numbers: signal.Signals) -> None:
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_member(alive: int, pid: int) -> bool:
    """Whether this process id still belongs to a running member of the group. The id may have been given to another
    process."""
    if os.path.exists("/proc/self/fd"):
        return _holds(alive, pid)
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return False


def _holds(alive: int, pid: int) -> bool:
    """Whether the process has the pipe open, on systems with /proc."""
    pipe = os.fstat(alive)
    return any(_is(pipe, f"/proc/{pid}/fd/{name}") for name in _names(f"/proc/{pid}/fd"))


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
