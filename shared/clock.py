"""Clocks: the wall clock for times that are stored, the steady clock for times that another process compares with its
own. Durations are measured by time.monotonic."""

import time

_STARTED_MS = time.time() * 1000 - time.monotonic() * 1000


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def steady_ms() -> float:
    """Unix milliseconds by the wall clock of when this process started; setting the wall clock does not move it."""
    return _STARTED_MS + time.monotonic() * 1000
