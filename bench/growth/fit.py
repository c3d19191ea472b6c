"""Fits power laws to measured costs. Pure."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

Points = Sequence[tuple[float, float]]
"""(x, y), ascending, both above 0."""

FLAT, LINEAR = 0.1, 1.1
"""Highest exponents of flat and linear costs, with the precision of measurements."""

_LAST = 100.0
"""Only points within this factor of the largest x are fitted: below, constant costs dominate."""
_LEAST = 3


def exponent(points: Points) -> float:
    """The k of the best fit y ~ x^k for large x; 0 for a single point."""
    large = [one for one in points if one[0] * _LAST >= points[-1][0]]
    chosen = large if len(large) >= _LEAST else list(points[-_LEAST:])
    across, up = [math.log(x) for x, _ in chosen], [math.log(y) for _, y in chosen]
    mean_x, mean_y = sum(across) / len(across), sum(up) / len(up)
    spread = sum((x - mean_x) ** 2 for x in across)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(across, up, strict=True)) / spread if spread else 0.0


def called(power: float) -> str:
    if power <= FLAT:
        return "flat"
    if power < 2 - LINEAR:
        return "less than linear"
    return "linear" if power <= LINEAR else "worse than linear"


def crossings(first: Points, second: Points) -> Iterator[float]:
    """The x at which the curves cross; both have the same x values. Interpolates linearly on logarithmic scales."""
    gaps = [(x, math.log(y / z)) for (x, y), (_, z) in zip(first, second, strict=True)]
    for (x, gap), (following, next_gap) in pairwise(gaps):
        if gap * next_gap < 0:
            share = gap / (gap - next_gap)
            yield math.exp(math.log(x) + share * math.log(following / x))
