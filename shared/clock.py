"""The wall clock, for what outlives a process; what measures spans of time uses time.monotonic."""

import time


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
