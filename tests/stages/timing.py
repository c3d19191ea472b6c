"""Times a piece of work as the best of several rounds, which reduces disturbance by other processes. Also describes
single times."""

import time
from collections.abc import Awaitable, Callable, Sequence

Work = Callable[[], Awaitable[int]]
"""Does some operations and returns their number."""

_ROUNDS = 5


async def microseconds(work: Work, seconds: float) -> float:
    """Microseconds of one operation in the fastest round; all rounds together take about `seconds`."""
    await work()  # warm
    return min([await _round(work, seconds / _ROUNDS) for _ in range(_ROUNDS)])


async def _round(work: Work, seconds: float) -> float:
    start = time.perf_counter()
    done = 0
    while (passed := time.perf_counter() - start) < seconds or not done:
        done += await work()
    return passed / done * 1e6


def percentiles(times: Sequence[float]) -> str:
    """`times` in ms, not empty."""
    ordered = sorted(times)
    return f"p50 {ordered[len(ordered) // 2]:.1f} ms, p99 {ordered[len(ordered) * 99 // 100]:.1f}"
