"""The result of a measurement, made from the totals of all workers, and notes about it. This module is pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bench.load.histogram import Histogram
from bench.load.protocol import Totals
from bench.load.verifier import Faults


class Point(msgspec.Struct):
    """One second of a measurement."""

    second: int
    count: int
    p50: int
    p99: int


class Measure(msgspec.Struct):
    """The percentiles of a latency, in microseconds."""

    count: int
    p50: int
    p90: int
    p99: int
    p999: int
    highest: int
    points: list[Point]


class Result(msgspec.Struct):
    """`figures`: values by name. The names include the units. `generator`: the cores that each worker process has used.
    `refusals`: the number of error replies, by reason."""

    measurement: str
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
    stages: dict[str, float] = {}
    """The mean milliseconds of each stage of a message's path, in order, if the stages were traced."""


def measure(by_second: Iterable[tuple[int, Histogram]]) -> Measure:
    points, whole = [], Histogram()
    for second, histogram in sorted(by_second, key=lambda one: one[0]):
        whole.merge(histogram)
        points.append(Point(second, histogram.count, histogram.quantile(0.5), histogram.quantile(0.99)))
    p50, p90, p99, p999 = map(whole.quantile, (0.5, 0.9, 0.99, 0.999))
    return Measure(whole.count, p50, p90, p99, p999, whole.highest, points)


_GENERATOR_LIMIT = 0.9
"""A share of a core. If a worker process uses more, the load generator limits the throughput."""
_HELD = 0.95
"""A share of the offered rate. If less was reached, the system was overloaded and the latencies are meaningless."""
_LATE = 0.5
_OTHERS_LIMIT = 0.25


class RunTotals(NamedTuple):
    """The totals of all workers, added up."""

    faults: Faults
    counts: Counter[str]
    rejections: Counter[str]
    measures: dict[str, Measure]
    generator: list[float]


def add_up(worker_totals: Sequence[Totals]) -> RunTotals:
    faults, counts, rejections = Faults(), Counter[str](), Counter[str]()
    series: dict[str, dict[int, Histogram]] = {}
    for worker in worker_totals:
        faults.merge(worker.faults)
        counts.update(worker.counts)
        rejections.update(worker.rejections)
        for name, by_second in worker.series.items():
            seconds_of = series.setdefault(name, {})
            for second, histogram in by_second.items():
                seconds_of.setdefault(second, Histogram()).merge(histogram)
    measures = {name: measure(by_second.items()) for name, by_second in series.items() if by_second}
    return RunTotals(faults, counts, rejections, measures, [round(worker.cores, 2) for worker in worker_totals])


def notes(totals: RunTotals, seconds: float, offered: float = 0.0, others: float | None = None) -> list[str]:
    """Warnings about the figures. `offered`: the messages a second that were offered, or 0 in a closed loop. `others`:
    the cores that other processes of this machine have used."""
    found = []
    if others is not None and others > _OTHERS_LIMIT:
        found.append(f"others used {others:.1f} cores during the run: do not quote these figures")
    if totals.generator and max(totals.generator) >= _GENERATOR_LIMIT:
        found.append(
            f"the generator was the limit ({max(totals.generator):.2f} of a core): the system can do more;"
            " give it more --processes, or another machine"
        )
    acknowledged = totals.counts["acknowledged"] / seconds
    if offered and acknowledged < _HELD * offered:
        found.append(f"overloaded: {acknowledged:,.0f} of {offered:,.0f} messages/s accepted; latencies mean nothing")
    lateness, delivery = totals.measures.get("lateness"), totals.measures.get("delivery")
    if offered and lateness and delivery and lateness.p99 > _LATE * delivery.p99:
        found.append(f"the generator sent late (p99 {lateness.p99 / 1000:.1f} ms): part of the latency is its own")
    found += [f"rejected {count} times: {reason}" for reason, count in totals.rejections.items()]
    return found


def by_kind(figures: Mapping[str, float], prefix: str) -> dict[str, float]:
    """The sums of the figures with this prefix, by kind of process."""
    kinds: dict[str, float] = {}
    for name, value in figures.items():
        if name.startswith(prefix):
            kind = name.removeprefix(prefix).partition("-")[0]
            kinds[kind] = round(kinds.get(kind, 0.0) + value, 3)
    return kinds
