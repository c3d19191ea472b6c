"""Simulations and measured growth as Markdown tables, which a terminal can show, and as plots."""

from collections.abc import Mapping, Sequence

from bench.growth.result import Growth
from bench.report.plot import PlotLine, drawing, linear, logarithmic
from bench.report.table import figure, markdown
from bench.simulation.options import PARTS
from bench.simulation.saturation import SystemGrowth
from bench.simulation.stage_costs import SHARED, shares_of
from bench.simulation.study import Study

_KINDS = ("edge", "message", "session", "auth", "nats", "valkey", "database")
_FULL = 0.95


def growth_costs_table(growth: Growth) -> str:
    """µs of a message by kind of process, and what it shares, at each point of the first curve."""
    head = [growth.axis, "all", *_KINDS, *SHARED]
    rows = []
    for point in growth.curves[0].points:
        shared = [f"{share:.2f}" for share in shares_of(point.figures).values()]
        rows.append(
            [f"{point.x:,}", figure(point.cost), *(figure(point.parts.get(kind, 0.0)) for kind in _KINDS), *shared]
        )
    return markdown(head, rows)


def stages_table(study: Study) -> str:
    head = ["µs", "a message", "a request", "a commit", "an envelope", "a further delivery", "mean error of the fit"]
    rows = [
        [
            part,
            *(figure(one) for one in (cost.message, cost.requests, cost.commits, cost.envelopes, cost.delivery)),
            f"{cost.error:.0%}",
        ]
        for part, cost in study.stages.items()
    ]
    return markdown(head, rows)


def steps_table(growth: SystemGrowth) -> str:
    """The installation of each step, the use of its busiest cores, and latencies once nearly all is delivered."""
    head = ["step", "edges", "message", "databases", "NATS", "Valkey", *(f"{part} busy" for part in PARTS)]
    rows = []
    for number, step in enumerate(growth.steps, 1):
        found, system = step.result, step.result.system
        counts = (system.edge, system.message, system.database, system.nats, system.valkey)
        latency = found.latencies["delivery"]
        delivered = min(1.0, found.delivered / found.offered)
        times = f"{latency.p50:.0f} / {latency.p99:.0f}" if delivered >= _FULL else "grows"
        uses = [f"{found.uses[part].most:.2f}" for part in PARTS]
        rows.append(
            [f"{number}", *(f"{count:,}" for count in counts), *uses, f"{delivered:.0%}", times, step.full or "–"]
        )
    return markdown([*head, "delivered", "p50 / p99 ms", "full"], rows)


def latencies_table(growths: Sequence[SystemGrowth]) -> str:
    """p50 and p99 of each part of the way, at the last step."""
    last = [growth.steps[-1].result.latencies for growth in growths]
    rows = [[name, *(f"{one[name].p50:.1f} / {one[name].p99:.1f}" for one in last)] for name in last[0]]
    return markdown(["p50 / p99, ms", *(f"{growth.users:,.0f} users" for growth in growths)], rows)


def comparison_table(study: Study) -> str:
    rows = []
    for one in study.comparisons:
        rows.append([f"**{one.run}** (others used {one.others:.0%} of the cores)", "", "", ""])
        for name, (measured, simulated) in one.values.items():
            rows.append(
                [name, figure(measured), figure(simulated), f"{simulated / measured - 1:+.0%}" if measured else "–"]
            )
    return markdown(["", "measured", "simulated", "deviation"], rows)


def tables(study: Study) -> str:
    steps = [f"{growth.users:,.0f} users\n\n{steps_table(growth)}" for growth in study.growths]
    parts = [stages_table(study), *([comparison_table(study)] if study.comparisons else []), *steps]
    return "\n".join([*parts, latencies_table(study.growths)])


def plots(growth: SystemGrowth) -> Mapping[str, str]:
    """Drawings by name: `use` of the busiest core of each part, and `latency`, by step."""
    steps = [step.result for step in growth.steps]
    across = linear("step", len(steps), lambda value: f"{value:g}")
    use = linear("busiest core", 1.0, lambda value: f"{value:.1f}")
    lines = [PlotLine(part, [(n, one.uses[part].most) for n, one in enumerate(steps, 1)]) for part in PARTS]
    settled = [(n, one.latencies["delivery"]) for n, one in enumerate(steps, 1) if one.delivered >= _FULL * one.offered]
    found = {"use": drawing(across, use, lines)}
    if settled:
        times = [value for _, one in settled for value in (one.p50, one.p99)]
        latency = [
            PlotLine("p50", [(n, one.p50) for n, one in settled]),
            PlotLine("p99", [(n, one.p99) for n, one in settled]),
        ]
        found["latency"] = drawing(across, logarithmic("ms until delivery", min(times), max(times)), latency)
    return found
