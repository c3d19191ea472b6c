"""The wall clock, for times that are stored or sent; durations are measured by time.monotonic."""

import time


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
