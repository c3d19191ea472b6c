"""Measures the time of an operation. The best of several rounds counts, because other processes disturb some rounds.

Also computes percentiles of single times.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

Work = Callable[[], Awaitable[int]]
"""Does some operations, and returns how many."""

_ROUNDS = 5


async def microseconds(work: Work, seconds: float) -> float:
    """Returns the microseconds of one operation in the fastest round. All rounds together take about `seconds`."""
    await work()  # a first run that is not measured, to warm up
    return min([await _round(work, seconds / _ROUNDS) for _ in range(_ROUNDS)])


async def _round(work: Work, seconds: float) -> float:
    start = time.perf_counter()
    done = 0
    while (passed := time.perf_counter() - start) < seconds or not done:
        done += await work()
    return passed / done * 1e6


def percentiles(times: Sequence[float]) -> str:
    """Returns percentiles. `times` are in milliseconds, and must not be empty."""
    ordered = sorted(times)
    return f"p50 {ordered[len(ordered) // 2]:.1f} ms, p99 {ordered[len(ordered) * 99 // 100]:.1f}"
