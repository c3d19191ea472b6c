"""The tables of docs/capacity.md, from the latest measured costs (bench/costs.json)."""

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.capacity.arithmetic import Habits
from bench.capacity.tables import costs_table, habits_table, limits_table, needs_table, read

COSTS = Path(__file__).parents[1] / "bench" / "costs.json"

CAPACITY: Mapping[str, Callable[[], str]] = {
    "costs": lambda: costs_table(read(COSTS)),
    "habits": lambda: habits_table(Habits()),
    "needs": lambda: needs_table(read(COSTS), Habits()),
    "limits": lambda: limits_table(read(COSTS), Habits()),
}
