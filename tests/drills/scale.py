"""The scale drill: edges are added and removed, and every process is replaced, while users post."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, assert_never

from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.fleet import Builds, Fleet
from tests.drills.records import Record, Trial

FIRST = ("auth", "session", "message", "message", "edge")
"""The processes at the beginning."""
PHASES = ("grow", "replace", "servers", "shrink")
_PATIENCE_SECONDS = 30.0


class Step(NamedTuple):
    """`replace`: a new process is ready before the oldest one of the service gets SIGTERM."""

    phase: str
    act: Literal["start", "end", "replace", "restart", "migrate"]
    what: str


def plan(edges: int, seed: int, *, upgrade: bool) -> list[Step]:
    """From one edge to `edges`, replacement of each process, restarts of the servers, and back to one edge. With
    `upgrade`, the databases are migrated before the replacements."""
    services = [*(service for service in FIRST if service != "edge"), *["edge"] * edges]
    random.Random(seed).shuffle(services)
    return [
        *[Step("grow", "start", "edge")] * (edges - 1),
        *[Step("replace", "migrate", "")] * upgrade,
        *[Step("replace", "replace", service) for service in services],
        *[Step("servers", "restart", server) for server in ("nats", "valkey")],
        *[Step("shrink", "end", "edge")] * (edges - 1),
    ]


async def scale(
    fleet: Fleet, records: list[Record], steps: Sequence[Step], seconds: float, rate: float, crowds: int,
    builds: tuple[Builds, Builds], report: Callable[[str], None],
) -> Trial:  # fmt: skip
    """`records`: the list that the fleet writes to. `builds`: those started before the replacements, and from then on.
    For the others, see Drill."""
    before, after = builds

    async def act(step: Step) -> None:
        await _carry_out(fleet, step, before if step.phase == "grow" else after)

    async def disturb(drill: Drill) -> None:
        await drill.take(steps, seconds / len(steps), act)

    await fleet.migrate(before("message"))
    await asyncio.gather(*(fleet.start(service, before(service)) for service in FIRST))
    drill = Drill(fleet.edges, fleet.history, rate, _PATIENCE_SECONDS, report, (), crowds, fleet.presence, records)
    return await drill.run(disturb)


async def _carry_out(fleet: Fleet, step: Step, builds: Builds) -> None:
    match step.act:
        case "start":
            await fleet.start(step.what, builds(step.what))
        case "end":
            await fleet.end(step.what)
        case "replace":
            await fleet.start(step.what, builds(step.what))
            await fleet.end(step.what)
        case "restart":
            await fleet.restart(step.what)
        case "migrate":
            await fleet.migrate(builds("message"))
        case unknown:
            assert_never(unknown)


def required_evidence(steps: Sequence[Step], seconds: float, rate: float) -> RequiredEvidence:
    """The least for a proof: a fifth of the load, every end and restart."""
    faults: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for step in steps:
        if step.act in ("end", "replace"):
            ended[step.what] += 1
            faults[f"{step.what}-{ended[step.what]}"] += 1
        elif step.act == "restart":
            faults[step.what] += 1
    return RequiredEvidence.of(seconds * rate, faults)
