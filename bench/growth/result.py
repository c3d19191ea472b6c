"""The result of a growth measurement, as stored and shown, and power laws that fit its costs. Pure."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import msgspec

from bench.load.verifier import Faults
from bench.report.result import Result, by_kind

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


_LEAST_COST = 0.01


class GrowthPoint(msgspec.Struct):
    """`cost`: CPU time of a message at `x` in microseconds, over all processes, without their CPU time at rest.
    `parts`: by kind of process."""

    x: int
    cost: float
    parts: dict[str, float]
    figures: dict[str, float]
    remarks: list[str]
    faults: Faults
    passed: bool


class Curve(msgspec.Struct):
    """`name`: the compared setting, if any."""

    name: str
    points: list[GrowthPoint]

    @property
    def costs(self) -> list[tuple[float, float]]:
        return [(point.x, point.cost) for point in self.points]

    @property
    def exponent(self) -> float:
        return exponent(self.costs)


class Growth(msgspec.Struct):
    """`axis`: title of the axis. `limit`: highest allowed exponent (None: too few points to decide)."""

    name: str
    axis: str
    started: str
    machine: str
    options: dict[str, object]
    curves: list[Curve]
    limit: float | None

    @property
    def passed(self) -> bool:
        sound = all(point.passed for curve in self.curves for point in curve.points)
        return sound and all(self.limit is None or curve.exponent <= self.limit for curve in self.curves)

    def decisions(self) -> list[str]:
        """One sentence for each curve, and one for each pair of curves about their crossings."""
        found = [_stated(curve, self.limit) for curve in self.curves]
        for first, second in combinations(self.curves, 2):
            met = [f"{place:,.0f}" for place in crossings(first.costs, second.costs)]
            found.append(f"{first.name} and {second.name} cost the same at {' and '.join(met) or 'no measured point'}")
        return found


def point(x: int, result: Result) -> GrowthPoint:
    parts = by_kind(result.figures, "µs of a message in ")
    cost = max(_LEAST_COST, round(sum(parts.values()), 2))
    return GrowthPoint(x, cost, parts, result.figures, result.remarks, result.faults, result.passed)


def _stated(curve: Curve, limit: float | None) -> str:
    name = f"{curve.name}: " if curve.name else ""
    first, last = curve.points[0], curve.points[-1]
    factor = f"{last.x / first.x:,.0f} times as much, {last.cost / first.cost:,.1f} times the cost"
    if limit is None:
        return f"{name}{factor}; too few points to decide how it grows"
    return f"{name}{called(curve.exponent)} (exponent {curve.exponent:.2f}, limit {limit:.2f}); {factor}"
