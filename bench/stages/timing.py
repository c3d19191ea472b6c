"""How long a piece of work takes, on a machine that does other things, too: the best of several rounds."""

import time
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[int]]
"""Does something, some number of times, and says how many."""

_ROUNDS = 5


async def microseconds(work: Work, seconds: float) -> float:
    """Of one of them, in the fastest of the rounds that fill about so many seconds together."""
    await work()  # warm
    return min([await _round(work, seconds / _ROUNDS) for _ in range(_ROUNDS)])


async def _round(work: Work, seconds: float) -> float:
    start = time.perf_counter()
    done = 0
    while (passed := time.perf_counter() - start) < seconds or not done:
        done += await work()
    return passed / done * 1e6
