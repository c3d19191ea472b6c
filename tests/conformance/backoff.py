"""Whether clients that try to come back wait for random and growing times; pure.

The limits are wide: clients whose delays are random, and double up to half a minute, hardly ever fail by chance
(test_backoff.py).
"""

import statistics
from collections.abc import Iterator, Sequence

_FEW_ATTEMPTS = 5
"""Of each client: those of a client whose first delays are long are too few for a comparison."""
_GROWTH = 0.75
_FEW_DELAYS = 3
_SAME_SECONDS, _SAME_SHARE = 0.015, 0.01
"""What the machine adds to delays, at least."""


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
    """By the median of the distances from the median: one late client changes it little."""
    middle = statistics.median(delays)
    return statistics.median(abs(delay - middle) for delay in delays) <= max(_SAME_SECONDS, _SAME_SHARE * middle)
