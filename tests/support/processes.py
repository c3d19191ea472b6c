"""Checks of processes from outside."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def gone(pid: int) -> bool:
    """Whether no such process exists, or it has ended and its parent has not waited for it yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return Path("/proc/self").exists()  # systems without /proc show a dead process only by a signal


def children(pid: int) -> list[int]:
    """The child processes of this process, by /proc."""
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
