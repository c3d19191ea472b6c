"""From what the processes have counted to a verdict: pure."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bench.load.histogram import Histogram
from bench.load.protocol import Totals
from bench.load.verifier import Faults
from bench.measurement.result import Measure, measure

_GENERATOR_LIMIT = 0.9
"""Of a core: beyond it the server could have done more."""
_HELD = 0.95
"""Of the rate that was offered: below it a latency says nothing but that the server was overloaded."""
_LATE = 0.5
_OTHERS_LIMIT = 0.25


class RunTotals(NamedTuple):
    """All tallies as one."""

    faults: Faults
    counts: Counter[str]
    refusals: Counter[str]
    measures: dict[str, Measure]
    generator: list[float]


def add_up(tallies: Sequence[Totals]) -> RunTotals:
    faults, counts, refusals = Faults(), Counter[str](), Counter[str]()
    series: dict[str, dict[int, Histogram]] = {}
    for tally in tallies:
        faults.merge(tally.faults)
        counts.update(tally.counts)
        refusals.update(tally.refusals)
        for name, by_second in tally.series.items():
            seconds_of = series.setdefault(name, {})
            for second, histogram in by_second.items():
                seconds_of.setdefault(second, Histogram()).merge(histogram)
    measures = {name: measure(by_second.items()) for name, by_second in series.items() if by_second}
    return RunTotals(faults, counts, refusals, measures, [round(tally.cores, 2) for tally in tallies])


def notes(books: RunTotals, seconds: float, offered: float = 0.0, others: float | None = None) -> list[str]:
    """What a reader must know before believing the figures; `offered` in messages a second, 0 in a closed loop;
    `others`: cores used by whatever else is on this machine."""
    found = []
    if others is not None and others > _OTHERS_LIMIT:
        found.append(f"others used {others:.1f} cores meanwhile: do not quote these figures")
    if books.generator and max(books.generator) >= _GENERATOR_LIMIT:
        found.append(
            f"the generator was the limit ({max(books.generator):.2f} of a core): the system can do more;"
            " give it more --processes, or another machine"
        )
    acknowledged = books.counts["acknowledged"] / seconds
    if offered and acknowledged < _HELD * offered:
        found.append(f"overloaded: {acknowledged:,.0f} of {offered:,.0f} messages/s were taken; latencies mean nothing")
    lateness, delivery = books.measures.get("lateness"), books.measures.get("delivery")
    if offered and lateness and delivery and lateness.p99 > _LATE * delivery.p99:
        found.append(f"the generator spoke late (p99 {lateness.p99 / 1000:.1f} ms): the latency is partly its own")
    found += [f"refused {count} times: {reason}" for reason, count in books.refusals.items()]
    return found
