"""Clocks: the wall clock for times that are stored, the steady clock for times that another process compares with its
own. Durations are measured by time.monotonic."""

import time
from typing import Final

STARTED_MS: Final = time.time() * 1000 - time.monotonic() * 1000
"""The steady clock is so far ahead of monotonic milliseconds. An event loop may have another clock, as on macOS."""


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def steady_ms() -> float:
    """Unix milliseconds by the wall clock of when this process started; setting the wall clock does not move it."""
    return STARTED_MS + time.monotonic() * 1000


def unix_ms_at(monotonic: float) -> int:
    """A time of the monotonic clock by the wall clock as it is set now."""
    return now_ms() + round((monotonic - time.monotonic()) * 1000)
