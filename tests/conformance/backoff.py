"""Checks whether clients that reconnect wait for random and growing times. This module does no I/O.

The limits are wide. A client whose random delays double up to half a minute fails the check only very rarely
(test_backoff.py).
"""

import statistics
from collections.abc import Iterator, Sequence

_FEW_ATTEMPTS = 5
"""The fewest attempts per client that are compared. A client whose first delays are long makes too few attempts."""
_GROWTH = 0.75
_FEW_DELAYS = 3
_SAME_SECONDS, _SAME_SHARE = 0.015, 0.01
"""The least difference of delays, because the machine itself adds some delay: in seconds, and as a share of the delay.
"""


def backoff_faults(start: float, seconds: float, attempts: Sequence[Sequence[float]]) -> Iterator[str]:
    """Yields the faults of clients that all lost their connections at `start`.

    `attempts` are the times at which each client tried to reconnect, within `seconds` after `start`.
    """
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
    """Returns whether the clients' delays are too similar.

    The measure is the median distance from the median: one client that is late changes it little.
    """
    middle = statistics.median(delays)
    return statistics.median(abs(delay - middle) for delay in delays) <= max(_SAME_SECONDS, _SAME_SHARE * middle)
