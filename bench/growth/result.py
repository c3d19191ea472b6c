"""The result of a growth measurement, and the power laws that fit its costs. This module is pure."""

import math
from collections.abc import Sequence

import msgspec

from bench.load.verifier import Faults
from bench.report.result import Result, by_kind
from bench.report.table import figure

Points = Sequence[tuple[float, float]]
"""Pairs (x, y) in ascending order, both greater than 0."""

FLAT, LINEAR = 0.1, 1.1
"""The highest exponents of costs that count as flat and as linear. They include the error of the measurements."""

_LAST = 100.0
"""Only points whose x is at least the largest x divided by this factor are fitted. For smaller x, constant costs
dominate."""
_LEAST = 3


def exponent(points: Points) -> float:
    """The exponent k of the best fit y ~ x^k for large x. It is 0 for a single point."""
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


_LEAST_COST = 0.01


class GrowthPoint(msgspec.Struct):
    """`cost`: the CPU time of a message at `x` in microseconds, over all processes. The CPU time without messages is
    subtracted. `parts`: the cost by kind of process."""

    x: int
    cost: float
    parts: dict[str, float]
    figures: dict[str, float]
    remarks: list[str]
    faults: Faults
    passed: bool


class Growth(msgspec.Struct):
    """`axis`: the title of the axis. `limit`: the highest allowed exponent, or None if there are too few points to
    decide."""

    name: str
    axis: str
    started: str
    machine: str
    options: dict[str, object]
    points: list[GrowthPoint]
    limit: float | None

    @property
    def exponent(self) -> float:
        return exponent([(point.x, point.cost) for point in self.points])

    @property
    def passed(self) -> bool:
        sound = all(point.passed for point in self.points)
        return sound and (self.limit is None or self.exponent <= self.limit)

    @property
    def finding(self) -> str:
        first, last = self.points[0], self.points[-1]
        factor = f"{last.x / first.x:,.0f} times the size has {last.cost / first.cost:,.1f} times the cost"
        if self.limit is None:
            return f"{factor}; too few points to decide how it grows"
        return f"{called(self.exponent)} (exponent {self.exponent:.2f}, limit {self.limit:.2f}); {factor}"


def point(x: int, result: Result) -> GrowthPoint:
    parts = by_kind(result.figures, "µs of a message in ")
    cost = max(_LEAST_COST, round(sum(parts.values()), 2))
    return GrowthPoint(x, cost, parts, result.figures, result.remarks, result.faults, result.passed)


def growth_table(growth: Growth) -> str:
    """The growth as text. It ends with the summary, which is then visible in a terminal."""
    lines = [f"growth with {growth.axis}: {growth.started}; {growth.machine}", "", *_rows(growth), ""]
    lines += [f"  note, at {point.x:,}: {remark}" for point in growth.points for remark in point.remarks]
    return "\n".join([*lines, f"  {growth.finding}", "", _summary(growth)])


def _rows(growth: Growth) -> list[str]:
    """One line for each point: the microseconds of a message for all processes together, and for each kind of
    process."""
    kinds = sorted({kind for point in growth.points for kind in point.parts})
    head = f"  {growth.axis:<24} {'µs/message':>12} " + " ".join(f"{kind:>9}" for kind in kinds)
    return [head, *(_row(point, kinds) for point in growth.points)]


def _row(point: GrowthPoint, kinds: list[str]) -> str:
    parts = " ".join(f"{figure(point.parts.get(kind, 0.0)):>9}" for kind in kinds)
    return f"  {point.x:<24,} {figure(point.cost):>12} {parts}"


def _summary(growth: Growth) -> str:
    if growth.passed:
        return "PASSED: nothing lost, and no cost grows more than the limit"
    if all(point.passed for point in growth.points):
        return "FAILED: the cost grows more than the limit"
    return "FAILED: messages were lost, duplicated or reordered, or nothing was measured"
