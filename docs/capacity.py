"""The tables and plots of docs/capacity.md, from the latest measurements (bench/*.json)."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from bench.capacity.arithmetic import Habits
from bench.capacity.tables import costs_table, habits_table, limits_table, needs_table, read
from bench.report.simulation import (
    comparison_table,
    growth_costs_table,
    latencies_table,
    plots,
    stages_table,
    steps_table,
)
from bench.simulation.study import Study, read_growths

_BENCH = Path(__file__).parents[1] / "bench"
COSTS, GROWTH, SIMULATION = (_BENCH / f"{name}.json" for name in ("costs", "growth", "simulation"))


def _study() -> Study:
    return msgspec.json.decode(SIMULATION.read_bytes(), type=Study)


def _growths() -> str:
    return "\n".join(growth_costs_table(growth) for growth in read_growths(GROWTH))


CAPACITY: Mapping[str, Callable[[], str]] = {
    "costs": lambda: costs_table(read(COSTS)),
    "habits": lambda: habits_table(Habits()),
    "needs": lambda: needs_table(read(COSTS), Habits()),
    "limits": lambda: limits_table(read(COSTS), Habits()),
    "growth": _growths,
    "stages": lambda: stages_table(_study()),
    "comparison": lambda: comparison_table(_study()),
    "million": lambda: steps_table(_study().growths[0]),
    "fifty million": lambda: steps_table(_study().growths[1]),
    "latencies": lambda: latencies_table(_study().growths),
}


def drawings() -> Mapping[str, str]:
    """The plots by file name."""
    return {
        f"{growth.users:.0f}-{name}.svg": drawn + "\n"
        for growth in _study().growths
        for name, drawn in plots(growth).items()
    }
