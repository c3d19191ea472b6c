"""A group of child processes. They get no signals from the terminal, and never outlive the process that has started the
group."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TypedDict

from local import watchdog

_HAVE_SESSIONS = os.path.exists("/proc/self/fd")
"""Whether each child gets a session of its own. The watchdog then finds the children in /proc instead of by their
process group. Linux divides the cores of a machine among sessions (in containers, too). If all children were in one
session, they would together get no more than a load generator in another session."""


class SpawnOptions(TypedDict):
    """The arguments for subprocess by which a new process becomes a member of the group."""

    start_new_session: bool
    process_group: int | None
    pass_fds: tuple[int, ...]
    stdin: int


class ProcessGroup:
    """Starts its watchdog (see watchdog.py) at once. `close` waits until the watchdog has ended the remaining members.
    Members inherit the descriptors `held`. For example, a lock is held until the last member ends."""

    def __init__(self, held: tuple[int, ...] = ()) -> None:
        self._held = held
        self._alive_end, self._alive = os.pipe()
        self._group = 0
        self._first = b""
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
        """Start a new watchdog if the present one was killed."""
        if self._watchdog.poll() is not None:
            if self._watchdog.stdin is not None:
                self._watchdog.stdin.close()
            self._watchdog = self._start_watchdog()
            self._forward_first()

    def end_first(self, pids: Iterable[int]) -> None:
        """Name the members that the watchdog ends before the others."""
        self._first = b" ".join(b"%d" % pid for pid in pids) + b"\n"
        self._forward_first()

    def _forward_first(self) -> None:
        if self._watchdog.stdin is not None:
            # if the watchdog was killed, the next watchdog gets this line first
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(self._first)

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
            bufsize=0,
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


def use_batch_priority(pid: int) -> None:
    """Set SCHED_BATCH on Linux. When the process has work, it then waits for its time slice instead of preempting
    others. If it has inherited another policy than the default, nothing changes."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # the process may have ended, and a sandbox may forbid both calls
            if os.sched_getscheduler(pid) == os.SCHED_OTHER:
                os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
