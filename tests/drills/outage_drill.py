"""The outage drills: users post while servers, or the connections to them, fail for a while and recover."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from redis.exceptions import RedisError

from tests.drills import rolling
from tests.drills.checker import Invariant
from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.fleet import Builds, Fleet
from tests.drills.outages import ALL_EDGES, Outage
from tests.drills.records import DrillRecords, Fault, Healed, PresenceSeen, ReadinessChanged, Record

_CALM_SECONDS = 4.0
_SERVICES = ("auth", "session", "message", "message", "edge", "edge")
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_NOTICING_SECONDS = 15.0
SILENCE_SECONDS = 40.0
"""The server counts a silent client as offline after this time.

It sends a ping every 25 s, and waits 10 s for the pong; some seconds are added for noticing this.
"""
_DEPENDENTS = {"nats": ("auth", "session", "message", "edge"), "postgresql": ("auth", "session", "message")}
"""For each server, the services that cannot work without it."""


async def endure(
    fleet: Fleet, records: list[Record], outages: Sequence[Outage], rate: float, builds: Builds,
    report: Callable[[str], None],
) -> DrillRecords:  # fmt: skip
    """Users post on two edges and two replicas of message while the outages happen one after the other."""

    async def disturb(drill: Drill) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for name in fleet.running:
                group.create_task(_watch_readiness(fleet, name, records, over))
            group.create_task(_watch_presence(fleet.presence, records, over))
            for outage in outages:
                drill.phase = outage.phase
                await _suffer(fleet, outage, records)
            drill.phase = "healed"
            await asyncio.sleep(_PATIENCE_SECONDS / 3)
            over.set()

    threads = len(_SERVICES) + 8
    # a check of readiness may block its thread for seconds
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
    await fleet.migrate(builds("message"))
    await asyncio.gather(*(fleet.start(service, builds) for service in _SERVICES))
    proxied = fleet.links is not None and fleet.links.proxied
    drill = Drill(fleet.edges, fleet.history, rate, _PATIENCE_SECONDS, report, (), 1, fleet.presence, records, proxied)
    try:
        return await drill.run(disturb)
    finally:
        if fleet.links is not None:
            await fleet.links.close()


async def _suffer(fleet: Fleet, outage: Outage, records: list[Record]) -> None:
    began = time.monotonic()
    records.append(Fault(began, outage.target, outage.kind))
    async with outage.harm(fleet):
        await asyncio.sleep(outage.seconds)
    records.append(Healed(time.monotonic(), began, outage.target, frozenset(outage.unserved)))
    await asyncio.sleep(_CALM_SECONDS)


async def _watch_readiness(fleet: Fleet, process: str, records: list[Record], over: asyncio.Event) -> None:
    was_ready = None
    while not over.is_set():
        is_ready = await asyncio.to_thread(fleet.running[process].is_ready)
        if is_ready is not was_ready:
            records.append(ReadinessChanged(time.monotonic(), process, is_ready))
        was_ready = is_ready
        await asyncio.sleep(_LOOK_SECONDS)


async def _watch_presence(
    read: Callable[[], Awaitable[dict[int, frozenset[str]]]], records: list[Record], over: asyncio.Event
) -> None:
    """Records presence until `over` is set.

    The task is not cancelled, because a call of redis-py may ignore a cancellation.
    """
    known: dict[str, frozenset[int]] = {}
    while not over.is_set():
        with suppress(RedisError):
            presence = await read()
            for edge in ALL_EDGES:
                accounts = frozenset(account for account, edges in presence.items() if edge in edges)
                if accounts != known.get(edge):
                    records.append(PresenceSeen(time.monotonic(), edge, accounts))
                known[edge] = accounts
        await asyncio.sleep(_LOOK_SECONDS)


def invariants(bound: float) -> dict[str, Invariant]:
    """Returns the invariants of the outage drills, which are checked in addition to the delivery contract."""
    ready = partial(rolling.readiness_shown, required=_DEPENDENTS, noticing=_NOTICING_SECONDS, bound=bound)
    noticed = partial(rolling.silence_noticed, within=SILENCE_SECONDS)
    return {"S1 service": partial(rolling.served, bound=bound), "S3 readiness": ready, "S4 silence": noticed}


def required_evidence(outages: Sequence[Outage], rate: float) -> RequiredEvidence:
    """Returns the least evidence that a drill needs: every outage, and a fifth of the load that is possible outside of
    outages."""
    faults = Counter(outage.target for outage in outages)
    served = sum(_CALM_SECONDS + (0.0 if outage.unserved else outage.seconds) for outage in outages)
    return RequiredEvidence.of(served * rate, faults)
