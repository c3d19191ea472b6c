"""The faults of the kill drill: their targets, order and number."""

import asyncio
import random
import signal
import time
from dataclasses import dataclass

from tests.drills.recorded_connection import Journal
from tests.drills.records import Fault
from tests.support.cluster import Cluster

_CALM_SECONDS = 6.0
"""The pause between two phases. Because of it, effects of one phase are not blamed on the next."""


@dataclass(frozen=True)
class Phase:
    """A phase in which faults hit the targets in turn, about one every `every` seconds.

    If `freeze_seconds` is set, a process is frozen for this time instead of killed.
    """

    name: str
    targets: tuple[str, ...]
    seconds: float
    every: float
    freeze_seconds: float = 0.0

    @property
    def rounds(self) -> int:
        return max(len(self.targets), round(self.seconds / self.every))


def phases(services: tuple[str, ...], seconds: float, every: float) -> list[Phase]:
    """Returns the phases of the kill drill: services are killed for `seconds`, then NATS and Valkey are killed, and
    then a message service is frozen.
    """
    return [
        Phase("services", services, seconds, every),
        Phase("servers", ("nats", "valkey"), seconds / 2, every),
        Phase("frozen", ("message",), seconds / 3, 2 * every, freeze_seconds=min(4.0, 1.5 * every)),
    ]


async def inject(cluster: Cluster, phase: Phase, journal: Journal) -> None:
    for turn in range(phase.rounds):
        target = phase.targets[turn % len(phase.targets)]
        began = time.monotonic()
        if phase.freeze_seconds:
            await _freeze(cluster, target, phase.freeze_seconds, journal)
        else:
            await _kill(cluster, target, journal)
        pause = phase.every * random.uniform(0.8, 1.2)
        await asyncio.sleep(max(0.0, began + pause - time.monotonic()))
    await asyncio.sleep(_CALM_SECONDS)


async def _kill(cluster: Cluster, target: str, journal: Journal) -> None:
    """Kills a process.

    The fault is recorded before, so that the end of a connection at this time is explained by this fault.
    """
    await asyncio.to_thread(cluster.wait_for, lambda: cluster.process(target), _CALM_SECONDS)
    journal(Fault(time.monotonic(), target, "kill"))
    await asyncio.to_thread(cluster.kill, target)


async def _freeze(cluster: Cluster, target: str, seconds: float, journal: Journal) -> None:
    journal(Fault(time.monotonic(), target, "stop"))
    cluster.signal(target, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        cluster.signal(target, signal.SIGCONT)
