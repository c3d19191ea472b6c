"""The tables of docs/capacity.md, from the latest measurements (bench/*.json)."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from bench.capacity.arithmetic import Habits
from bench.capacity.tables import costs_table, habits_table, limits_table, needs_table, read
from bench.growth.result import Growth
from bench.report import growth

_BENCH = Path(__file__).parents[1] / "bench"
COSTS, GROWTH = _BENCH / "costs.json", _BENCH / "growth.json"


def _growths() -> str:
    measured = msgspec.json.decode(GROWTH.read_bytes(), type=list[Growth])
    return "\n".join(map(growth.costs_table, measured))


CAPACITY: Mapping[str, Callable[[], str]] = {
    "costs": lambda: costs_table(read(COSTS)),
    "habits": lambda: habits_table(Habits()),
    "needs": lambda: needs_table(read(COSTS), Habits()),
    "limits": lambda: limits_table(read(COSTS), Habits()),
    "growth": _growths,
}
