"""Costs of the stages of a message, fitted to measured growth. Pure.

What a message costs a kind of process depends on how many messages share a request, a commit and an envelope. Growth
measures both, so a linear fit separates the cost of each.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from bench.capacity.costs import Costs
from bench.growth.fit import fitted
from bench.growth.result import Growth, GrowthPoint

SHARED = ("requests", "commits", "envelopes")
_SHARED_BY: Mapping[str, Sequence[str]] = {
    "edge": ("requests", "envelopes"),
    "message": ("requests", "commits", "envelopes"),
    "nats": ("requests", "envelopes"),
    "valkey": ("commits",),
    "database": ("commits",),
}
"""What costs each kind of process on a message's way."""


class StageCost(msgspec.Struct, frozen=True):
    """CPU time in µs: of a message itself, and of each request, commit and envelope. `delivery`: a further connected
    recipient. `error`: mean relative error of the fit."""

    message: float
    requests: float = 0.0
    commits: float = 0.0
    envelopes: float = 0.0
    delivery: float = 0.0
    error: float = 0.0

    def of(self, shares: Mapping[str, float]) -> float:
        """µs of a message with one recipient that needs these shares of a request, a commit and an envelope."""
        each = {"requests": self.requests, "commits": self.commits, "envelopes": self.envelopes}
        return self.message + sum(each[name] * share for name, share in shares.items())


class StageCosts(NamedTuple):
    """`stages` by kind of process; `login` by kind, in µs; `idle`: µs a second of a connection at its edge."""

    stages: dict[str, StageCost]
    login: dict[str, float]
    idle: float


def stage_costs(growths: Sequence[Growth], costs: Costs) -> StageCosts:
    """Fit the points of all growths. Raises ValueError if they have too few shares or no cost of a database."""
    points = [point for growth in growths for curve in growth.curves for point in curve.points if _is_usable(point)]
    if len(points) <= len(SHARED):
        raise ValueError("too few points of growth on PostgreSQL with the shares of a message")
    stages = {kind: _stage_cost(kind, points, costs) for kind in _SHARED_BY}
    return StageCosts(stages, costs.login, costs.idle)


def shares_of(figures: Mapping[str, float]) -> dict[str, float]:
    """The requests, commits and envelopes of a message."""
    return {name: figures.get(f"{name} of a message", 0.0) for name in SHARED}


def _is_usable(point: GrowthPoint) -> bool:
    return "database" in point.parts and all(shares_of(point.figures).values())


def _stage_cost(kind: str, points: Sequence[GrowthPoint], costs: Costs) -> StageCost:
    names = _SHARED_BY[kind]
    rows = [[1.0, *(shares_of(point.figures)[name] for name in names)] for point in points]
    measured = [max(point.parts[kind], 0.01) for point in points]
    message, *shared = fitted(rows, measured)
    found = StageCost(message, **dict(zip(names, shared, strict=True)), delivery=costs.delivery.get(kind, 0.0))
    errors = [abs(found.of(shares_of(point.figures)) / cost - 1) for point, cost in zip(points, measured, strict=True)]
    return msgspec.structs.replace(found, error=sum(errors) / len(errors))
