"""Checks whether clients that reconnect wait for random and growing times. Pure.

The limits are wide, so that clients with random delays that double up to half a minute hardly ever fail by chance
(test_backoff.py).
"""

import statistics
from collections.abc import Iterator, Sequence

_FEW_ATTEMPTS = 5
"""The fewest attempts of a client. If the first delays are long, there are too few attempts to compare."""
_GROWTH = 0.75
_FEW_DELAYS = 3
_SAME_SECONDS, _SAME_SHARE = 0.015, 0.01
"""The least delay that the machine itself adds."""


def backoff_faults(start: float, seconds: float, attempts: Sequence[Sequence[float]]) -> Iterator[str]:
    """`attempts`: the times at which each client has tried within these seconds from `start`, when all of them lost
    their connections."""
    times = [at for one in attempts for at in one]
    early = sum(at < start + seconds / 2 for at in times)
    late = len(times) - early
    if len(times) >= _FEW_ATTEMPTS * len(attempts) and late > _GROWTH * early:
        yield f"delays do not grow: in {seconds / 2:g} s {len(attempts)} clients have tried {early} times, then {late}"
    delays = [_delays(start, one) for one in attempts]
    compared = min(map(len, delays))
    if compared >= _FEW_DELAYS and all(_are_same([one[number] for one in delays]) for number in range(compared)):
        yield f"delays are not random: {len(attempts)} clients have waited the same times"


def _delays(start: float, attempts: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in zip([start, *attempts], attempts, strict=False)]


def _are_same(delays: Sequence[float]) -> bool:
    """Whether the clients' delays are too similar. The measure is the median distance from the median, on which one
    late client has little effect."""
    middle = statistics.median(delays)
    return statistics.median(abs(delay - middle) for delay in delays) <= max(_SAME_SECONDS, _SAME_SHARE * middle)
