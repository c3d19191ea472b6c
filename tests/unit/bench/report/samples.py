"""Sample results for the tests of reports."""

from collections.abc import Sequence

from bench.growth.result import Growth, GrowthPoint
from bench.load.histogram import Histogram
from bench.load.verifier import Faults
from bench.report.result import Result, measure


def sample(faults: Faults, *, passed: bool) -> Result:
    histogram = Histogram()
    for value in (1_000, 2_000, 30_000):
        histogram.record(value)
    return Result(
        "pairs", "2026-01-01 00:00:00 UTC", "2 cores", {"people": 2}, {"delivered/s": 12_345.6},
        {"delivery": measure([(0, histogram), (1, histogram)])}, faults, {"<no>": 1}, [0.5],
        ["rejected 1 times: <no>"], passed,
    )  # fmt: skip


def growth(costs: Sequence[tuple[int, float]], *, limit: float | None) -> Growth:
    points = [GrowthPoint(x, cost, {"message": cost}, {}, [], Faults(), passed=True) for x, cost in costs]
    return Growth("chats", "chats of an account", "2026-01-01", "2 cores", {}, points, limit)
