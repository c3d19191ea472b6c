"""Clocks. The wall clock is for stored times. The steady clock is for times that another process compares with its own
times. Durations are measured by time.monotonic."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

STARTED_MS: Final = time.time() * 1000 - time.monotonic() * 1000
"""The difference between the steady clock and time.monotonic, in milliseconds. The event loop's clock is not used,
because it may be another one, as on macOS."""


_MILLISECONDS = tuple(f".{number:03}Z" for number in range(1000))


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def utc_time(unix_ms: int) -> str:
    """The time as text in the form of ISO 8601, with milliseconds: 2024-08-23T08:00:00.123Z."""
    return _utc_second(unix_ms // 1000) + _MILLISECONDS[unix_ms % 1000]


@lru_cache(16)  # the lines of one moment name the same second
def _utc_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def steady_ms() -> float:
    """Unix milliseconds that only grow: the wall clock's time at the start of this process plus the time since then."""
    return STARTED_MS + time.monotonic() * 1000


def time_zone(name: str) -> ZoneInfo | None:
    """The zone with this IANA name; None if this machine does not know it."""
    try:
        return ZoneInfo(name)
    # the name may belong to a directory, or to a file that is no time zone
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return None


def unix_ms_at(monotonic: float) -> int:
    """A time of the monotonic clock in Unix milliseconds, by the present wall clock."""
    return now_ms() + round((monotonic - time.monotonic()) * 1000)


def until_next(seconds: float) -> float:
    """The time until the next multiple of `seconds` on the clock of this machine. If all loops pause for such times,
    their processes wake at the same moments, so an idle machine sleeps longer between."""
    left = seconds - time.monotonic() % seconds
    return left if left > seconds / 10 else left + seconds
