"""The kill drill: one process after another is killed while users post through two edges."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.drills.archive import broker, presence_store, read_history, read_presence
from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.faults import Phase, inject
from tests.drills.recorded_connection import Journal
from tests.drills.records import DrillRecords, Entry
from tests.support.cluster import Cluster

SHORT = ("--seconds", "4", "--targets", "message", "--only", "--patience", "6", "--bound", "6")
"""The options of the command for a deliberately broken build."""


async def kill_in_turn(
    cluster: Cluster, phases: Sequence[Phase], rate: float, patience: float, report: Callable[[str], None],
    watch: Callable[[Cluster, Journal], Coroutine[Any, Any, None]] | None = None,
    act: Callable[[Cluster, Drill], Coroutine[Any, Any, None]] | None = None, newcomers: int = 0,
) -> DrillRecords:  # fmt: skip
    """Kills the targets in turn while users post. `rate`, `patience`, `report` and `newcomers`: see Drill.

    `watch` runs and records during the kills, and is then cancelled. `act` also runs during the kills, and the drill
    waits for its end.
    """

    async def history(chats: list[int]) -> dict[int, list[Entry]]:
        return await read_history(broker(cluster.data, "admin"), chats)

    async def presence() -> dict[int, frozenset[str]]:
        return await read_presence(presence_store(cluster.data), edges)

    async def disturb(drill: Drill) -> None:
        journal = drill.records.append
        watching = None if watch is None else asyncio.create_task(watch(cluster, journal))
        acting = None if act is None else asyncio.create_task(act(cluster, drill))
        try:
            for phase in phases:
                drill.phase = phase.name
                await inject(cluster, phase, journal)
            if acting is not None:
                await acting
        finally:
            if watching is not None:
                watching.cancel()

    edges = [(f"edge-{number}", url) for number, url in enumerate(cluster.edges, 1)]
    return await Drill(edges, history, rate, patience, report, presence=presence, newcomers=newcomers).run(disturb)


def required_evidence(phases: Sequence[Phase], rate: float) -> RequiredEvidence:
    """Returns the least evidence that a drill needs: a fifth of the load, and every planned fault."""
    faults: Counter[str] = Counter()
    for phase in phases:
        for turn in range(phase.rounds):
            faults[phase.targets[turn % len(phase.targets)]] += 1
    seconds = sum(phase.rounds * phase.every for phase in phases)
    return RequiredEvidence.of(seconds * rate, faults)
