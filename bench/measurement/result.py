"""The result of a run, as stored and shown."""

from collections.abc import Iterable

import msgspec

from bench.load.histogram import Histogram
from bench.load.verifier import Faults


class Point(msgspec.Struct):
    """One second of a measure."""

    second: int
    count: int
    p50: int
    p99: int


class Measure(msgspec.Struct):
    """Latency percentiles in microseconds. `curve`: pairs (share, value); a `share` of all does not exceed `value`."""

    count: int
    p50: int
    p90: int
    p99: int
    p999: int
    highest: int
    points: list[Point]
    curve: list[tuple[float, int]]


class Result(msgspec.Struct):
    """`figures`: values by name; names include units. `generator`: cores used by each worker process. `refusals`: error
    replies by reason."""

    scenario: str
    started: str
    machine: str
    options: dict[str, object]
    figures: dict[str, float]
    measures: dict[str, Measure]
    faults: Faults
    refusals: dict[str, int]
    generator: list[float]
    remarks: list[str]
    passed: bool


_SHARES = (
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98,
    0.99, 0.993, 0.996, 0.998, 0.999, 0.9995, 0.9999, 1.0,
)  # fmt: skip


def measure(by_second: Iterable[tuple[int, Histogram]]) -> Measure:
    points, whole = [], Histogram()
    for second, histogram in sorted(by_second, key=lambda one: one[0]):
        whole.merge(histogram)
        points.append(Point(second, histogram.count, histogram.quantile(0.5), histogram.quantile(0.99)))
    p50, p90, p99, p999 = map(whole.quantile, (0.5, 0.9, 0.99, 0.999))
    curve = [(share, whole.quantile(share)) for share in _SHARES]
    return Measure(whole.count, p50, p90, p99, p999, whole.highest, points, curve)
