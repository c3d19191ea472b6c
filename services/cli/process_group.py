"""A family of child processes: apart from the terminal's signals, and never outliving the one that started it."""

import os
import subprocess
import sys
from types import TracebackType
from typing import TypedDict

from services.cli import watchdog

_HAVE_SESSIONS = os.path.exists("/proc/self/fd")
"""Members have sessions of their own where the guard can find them without their group. Linux shares its cores out
among sessions: one that works much, like whoever puts a load on the family, would have as much as all of it together.
In containers it is so, too."""


class SpawnOptions(TypedDict):
    """Arguments for subprocess that make a process a member."""

    start_new_session: bool
    process_group: int | None
    pass_fds: tuple[int, ...]
    stdin: int


class ProcessGroup:
    """Starts its guard at once; see guard.py. `close` leaves whoever is still there to the guard, and waits.
    Members also hold the descriptors `held` open (a lock, say) for as long as one of them lives."""

    def __init__(self, held: tuple[int, ...] = ()) -> None:
        self._held = held
        self._alive_end, self._alive = os.pipe()
        self._group = 0
        self._watchdog = self._start_watchdog()

    @property
    def spawn_options(self) -> SpawnOptions:
        self.ensure_watchdog()
        return {
            "start_new_session": _HAVE_SESSIONS,
            "process_group": None if _HAVE_SESSIONS else self._group,
            "pass_fds": (self._alive, *self._held),
            "stdin": subprocess.DEVNULL,
        }

    def ensure_watchdog(self) -> None:
        """A guard that was killed is replaced."""
        if self._watchdog.poll() is not None:
            if self._watchdog.stdin is not None:
                self._watchdog.stdin.close()
            self._watchdog = self._start_watchdog()

    def close(self) -> None:
        os.close(self._alive)
        os.close(self._alive_end)
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        self._watchdog.wait()

    def _start_watchdog(self) -> "subprocess.Popen[bytes]":
        group = self._group if self._group and _exists(self._group) else 0
        started = subprocess.Popen(
            [sys.executable, "-E", "-S", watchdog.__file__, str(self._alive_end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(self._alive_end,),
            process_group=group,
        )
        self._group = group or started.pid
        return started

    def __enter__(self) -> "ProcessGroup":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
