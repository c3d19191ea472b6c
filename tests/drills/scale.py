"""The scale drill: users post while edges and replicas of message are added and removed.

Every process is replaced, and leaders of chats are killed and frozen.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, assert_never

from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.fleet import Builds, Fleet
from tests.drills.records import DrillRecords, Record

FIRST = ("auth", "session", "message", "edge")
"""The kinds of processes that run at the beginning, one process of each."""
PHASES = ("grow", "replace", "leaders", "servers", "shrink")
NO_FREEZE = (
    "SQLite: no leader is frozen. One that is stopped within a transaction holds the lock of the whole file, and no "
    "server takes it away."
)
_FREEZE_SECONDS = 5.0
"""The duration of a freeze.

It is longer than a replica's lease, and longer than PostgreSQL keeps the locks of the replica's transaction.
"""
_PATIENCE_SECONDS = 30.0


class Step(NamedTuple):
    """A step of the drill. `what` is a kind of process (see Fleet), or a server.

    For `replace`, a new process is ready before the oldest one gets SIGTERM. `kill` and `freeze` are faults of a leader
    of chats. After a kill, the leader is started again.
    """

    phase: str
    act: Literal["start", "end", "replace", "kill", "freeze", "restart", "migrate"]
    what: str


def plan(edges: int, replicas: int, freezes: int, seed: int, *, upgrade: bool) -> list[Step]:
    """Returns the steps. The system grows from one edge and one replica of message to these numbers. Then each process
    is replaced, leaders fail, and the servers restart. At the end, the system shrinks to one of each.

    With `upgrade`, the databases are migrated before the processes are replaced.
    """
    kinds = ["auth", "session", *["message"] * replicas, *["edge"] * edges]
    leaders = [*[Step("leaders", "kill", "message")] * 2, *[Step("leaders", "freeze", "message")] * freezes]
    more = [*["edge"] * (edges - 1), *["message"] * (replicas - 1)]
    order = random.Random(seed)
    order.shuffle(kinds)
    order.shuffle(leaders)
    order.shuffle(more)
    return [
        *(Step("grow", "start", kind) for kind in more),
        *[Step("replace", "migrate", "")] * upgrade,
        *(Step("replace", "replace", kind) for kind in kinds),
        *leaders,
        *(Step("servers", "restart", server) for server in ("nats", "valkey")),
        *(Step("shrink", "end", kind) for kind in reversed(more)),
    ]


async def scale(
    fleet: Fleet, records: list[Record], steps: Sequence[Step], seconds: float, rate: float, crowds: int,
    builds: tuple[Builds, Builds], report: Callable[[str], None],
) -> DrillRecords:  # fmt: skip
    """Runs the drill.

    `records` is the list that the fleet writes to. `builds` are two builds: one before the replacements, and one from
    then on. For the other parameters, see Drill.
    """
    before, after = builds

    async def act(step: Step) -> None:
        await _carry_out(fleet, step, before if step.phase == "grow" else after)

    async def disturb(drill: Drill) -> None:
        await drill.take(steps, seconds / len(steps), act)

    await fleet.migrate(before("message"))
    await asyncio.gather(*(fleet.start(kind, before) for kind in FIRST))
    drill = Drill(fleet.edges, fleet.history, rate, _PATIENCE_SECONDS, report, (), crowds, fleet.presence, records)
    return await drill.run(disturb)


async def _carry_out(fleet: Fleet, step: Step, builds: Builds) -> None:
    match step.act:
        case "start":
            await fleet.start(step.what, builds)
        case "end":
            await fleet.end(step.what)
        case "replace":
            await fleet.start(step.what, builds)
            await fleet.end(step.what)
        case "kill":
            await fleet.kill_leader(step.what)
            await fleet.start(step.what, builds)
        case "freeze":
            await fleet.freeze_leader(step.what, _FREEZE_SECONDS)
        case "restart":
            await fleet.restart(step.what)
        case "migrate":
            await fleet.migrate(builds("message"))
        case unknown:
            assert_never(unknown)


def required_evidence(steps: Sequence[Step], seconds: float, rate: float) -> RequiredEvidence:
    """Returns the least evidence that the drill needs: a fifth of the load, and every fault."""
    kinds = Counter(_fault(step) for step in steps)
    del kinds[""]
    return RequiredEvidence.of(seconds * rate, {}, kinds)


def _fault(step: Step) -> str:
    """Returns the kind of the fault that the step records, or an empty string if it records none."""
    match step.act:
        case "end" | "replace":
            return "end"
        case "kill" | "restart":
            return step.act
        case "freeze":
            return "stop"
        case "start" | "migrate":
            return ""
        case unknown:
            assert_never(unknown)
