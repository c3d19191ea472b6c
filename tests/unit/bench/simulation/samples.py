"""Round costs and a small system, and growth whose points follow from them."""

from collections.abc import Sequence

from bench.growth.result import Curve, Growth, GrowthPoint
from bench.load.verifier import Faults
from bench.simulation.options import SimulatedLoad
from bench.simulation.stage_costs import StageCost, StageCosts

STAGES = {
    "edge": StageCost(100.0, requests=400.0, envelopes=300.0, delivery=10.0),
    "message": StageCost(40.0, requests=100.0, commits=2_000.0, envelopes=50.0, delivery=2.0),
    "nats": StageCost(4.0, requests=100.0, envelopes=80.0),
    "valkey": StageCost(1.0, commits=140.0),
    "database": StageCost(25.0, commits=1_000.0),
}
COSTS = StageCosts(STAGES, {"edge": 1_000.0, "message": 400.0, "nats": 200.0, "valkey": 50.0}, idle=5.0)
LOAD = SimulatedLoad(users=10_000, rate=1_000.0, recipients=3)

_SHARES = [(1.0, 1.0, 2.0), (1.0, 0.5, 1.5), (0.5, 0.2, 0.4), (0.3, 0.2, 0.7), (0.1, 0.02, 0.04), (0.2, 0.1, 0.1)]


def growth(shares: Sequence[tuple[float, float, float]] = _SHARES) -> Growth:
    points = []
    for number, some in enumerate(shares, 1):
        named = dict(zip(("requests", "commits", "envelopes"), some, strict=True))
        parts = {part: stage.of(named) for part, stage in STAGES.items()}
        figures = {f"{name} of a message": share for name, share in named.items()}
        points.append(GrowthPoint(number, sum(parts.values()), parts, figures, [], Faults(), passed=True))
    return Growth("rate", "messages a second", "2026-01-01", "2 cores, x", {}, [Curve("", points)], None)
