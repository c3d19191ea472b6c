"""The stored form of a simulation study, and how it is made."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.capacity.arithmetic import Habits
from bench.capacity.costs import Costs
from bench.growth.result import Growth
from bench.measurement.result import Result
from bench.simulation.comparison import Comparison, compared
from bench.simulation.saturation import SystemGrowth, grow
from bench.simulation.stage_costs import StageCost, stage_costs


class Study(msgspec.Struct, frozen=True):
    """`measured`: the machine and time of the growths. `stages`: the fitted costs by part."""

    measured: str
    stages: dict[str, StageCost]
    growths: list[SystemGrowth]
    comparisons: list[Comparison]


class StudyInput(msgspec.Struct, frozen=True):
    """Measured `costs`, `growths` on PostgreSQL, and `runs` of pairs to compare with."""

    costs: Costs
    growths: Sequence[Growth]
    runs: Sequence[Result]


def read_growths(file: Path) -> list[Growth]:
    """Raises OSError, msgspec.MsgspecError."""
    return msgspec.json.decode(file.read_bytes(), type=list[Growth])


def read_runs(files: Sequence[Path]) -> list[Result]:
    """Raises OSError, msgspec.MsgspecError."""
    return [one for file in files for one in msgspec.json.decode(file.read_bytes(), type=list[Result])]


def study(given: StudyInput, habits: Habits, users: Sequence[float], seed: int, report: Callable[[str], None]) -> Study:
    """Raises ValueError if the measurements do not suffice."""
    costs = stage_costs(given.growths, given.costs)
    comparisons = [compared(run, costs, _cores(run.machine), seed) for run in given.runs]
    growths = [grow(costs, habits, one, seed, report) for one in users]
    measured = f"{given.growths[-1].started} on {given.growths[-1].machine}"
    return Study(measured, costs.stages, growths, comparisons)


def _cores(machine: str) -> int:
    """`2 cores, x86_64, …`"""
    return int(machine.partition(" ")[0])
