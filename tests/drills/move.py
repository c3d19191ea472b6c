"""The move drill: partitions are moved between two databases of message, there and back, while users post. A command
that is killed is repeated."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.fleet import Builds, Fleet
from tests.drills.records import Fault, Record, Trial

DATABASES = ("main", "second")
"""The first one has all partitions at the beginning."""
PHASES = ("there", "killed", "back")
MAIN, SECOND = (f"message@{name}" for name in DATABASES)
"""The replicas of each; see Fleet."""
_KINDS = ("auth", "session", MAIN, MAIN, SECOND, SECOND, "edge", "edge")
_OPERATOR = "partitions"
_PATIENCE_SECONDS = 30.0
_LIFETIMES = (0.5, 2.5)
"""Seconds after which a command is killed: it starts in about half a second."""


class MoveStep(NamedTuple):
    """`kills`: so often the command is killed before it may end."""

    phase: str
    ranges: str
    target: str
    kills: int = 0


def plan(kills: int) -> list[MoveStep]:
    """Half of the partitions there, the other half with a command that is killed, and all of them back."""
    return [
        MoveStep("there", "0-127", "second"),
        MoveStep("killed", "128-255", "second", kills),
        MoveStep("back", "0-255", "main"),
    ]


async def move(
    fleet: Fleet, records: list[Record], steps: Sequence[MoveStep], seconds: float, rate: float, crowds: int,
    builds: Builds, report: Callable[[str], None],
) -> Trial:  # fmt: skip
    """`seconds`: of a step, at least. `records`: the list that the fleet writes to. For the others, see Drill."""

    async def act(step: MoveStep) -> None:
        await carry_out(fleet, records, step, builds)

    async def disturb(drill: Drill) -> None:
        await drill.take(steps, seconds, act)

    await fleet.migrate(builds("message"))
    await asyncio.gather(*(fleet.start(kind, builds) for kind in _KINDS))
    drill = Drill(fleet.edges, fleet.history, rate, _PATIENCE_SECONDS, report, (), crowds, fleet.presence, records)
    return await drill.run(disturb)


async def carry_out(fleet: Fleet, records: list[Record], step: MoveStep, builds: Builds) -> None:
    """`records`: as for `move`."""
    arguments = ("admin", "partitions", "move", step.ranges, "--to", step.target)
    for _ in range(step.kills):
        records.append(Fault(time.monotonic(), _OPERATOR, "kill"))
        await fleet.operate(builds(_OPERATOR), *arguments, lifetime=random.uniform(*_LIFETIMES))
    records.append(Fault(time.monotonic(), _OPERATOR, "move"))
    await fleet.operate(builds(_OPERATOR), *arguments)


def required_evidence(steps: Sequence[MoveStep], seconds: float, rate: float) -> RequiredEvidence:
    """A fifth of the load, and every move and kill."""
    return RequiredEvidence.of(len(steps) * seconds * rate, {_OPERATOR: sum(1 + step.kills for step in steps)})
