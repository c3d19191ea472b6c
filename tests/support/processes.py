"""Checks other processes."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def gone(pid: int) -> bool:
    """Returns whether the process does not exist, or has ended but its parent has not yet waited for it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return Path("/proc/self").exists()  # without /proc, a signal is the only way to see that a process has ended


def children(pid: int) -> list[int]:
    """Returns the child processes of this process, which it finds in /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(entry.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.parent.name))
    return found


def until_gone(pids: Iterable[int], seconds: float = 12.0) -> None:
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if not gone(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)
