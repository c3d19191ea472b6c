"""The common course of every drill: users post while the system is disturbed.

Then the records and the history are collected.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, TypeVar

from redis.exceptions import RedisError

from shared.contract.errors import RequestError
from tests.drills.checker import delivered, registered
from tests.drills.device import DrillClient, Edge
from tests.drills.population import STAYERS, Population, gather
from tests.drills.record_index import RecordIndex
from tests.drills.records import (
    Closed,
    DrillRecords,
    DrillStalled,
    Entry,
    Fault,
    MessageAcknowledged,
    MessageReceived,
    MessageSent,
    PhaseBegan,
    Record,
)

_WARM_SECONDS = 2.0
_AWAY_SECONDS = 2.0
_CALM_SECONDS = 3.0


class DrillStep(Protocol):
    @property
    def phase(self) -> str: ...


S = TypeVar("S", bound=DrillStep)


@dataclass
class Drill:
    """One run of a drill.

    - `edges`: the edges to which users connect. The list may change during the run.
    - `history`: reads all stored messages of these chats. Raises RequestError.
    - `rate`: messages per second of all devices together.
    - `patience`: the seconds at the end in which all devices must reconnect. All deliveries get the same time again.
    - `report`: prints a progress line each second.
    - `stayers`: the users of a crowd that connect to one edge only.
    - `crowds`: the number of groups of users. Users of two groups share no chat.
    - `presence`: reads the edges of each account. Raises RedisError.
    - `proxied`: see DrillRecords.
    - `newcomers`: the number of newcomers in each crowd; see Population.
    """

    edges: Sequence[Edge]
    history: Callable[[list[int]], Awaitable[dict[int, list[Entry]]]]
    rate: float
    patience: float
    report: Callable[[str], None]
    stayers: Sequence[int] = STAYERS
    crowds: int = 1
    presence: Callable[[], Awaitable[dict[int, frozenset[str]]]] | None = None
    records: list[Record] = field(default_factory=list)
    proxied: bool = False
    newcomers: int = 0
    population: Population = field(default_factory=lambda: Population({}, [], []))
    phase: str = "warm-up"

    async def run(self, disturb: Callable[["Drill"], Awaitable[None]]) -> DrillRecords:
        """Runs the drill while `disturb` disturbs the system and names the phases."""
        population = self.population
        for _ in range(self.crowds):
            population.join(await gather(self.edges, self.records.append, self.stayers, self.newcomers))
        async with asyncio.TaskGroup() as group:
            living = [group.create_task(device.live()) for device in population.devices]
            living += [group.create_task(sleeper.live()) for sleeper in population.sleepers]
            living += [group.create_task(follower.live()) for follower in population.followers]
            watching = group.create_task(self._watch())
            await self._disturbed(population.devices, disturb)
            recorded = await self._quiesce(population)
            for task in (*living, watching):
                task.cancel()
        for device in population.devices:
            await device.end()
        return recorded

    async def take(self, steps: Iterable[S], seconds: float, act: Callable[[S], Awaitable[None]]) -> None:
        """Runs the steps one after another, each for at least `seconds`, and then waits for some time without faults.

        Records the phases. The last phase lasts until the end of the drill.
        """
        for step in steps:
            self._enter(step.phase)
            began = time.monotonic()
            await act(step)
            await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        await asyncio.sleep(_CALM_SECONDS)

    def _enter(self, phase: str) -> None:
        if phase != self.phase:
            self.records.append(PhaseBegan(time.monotonic(), phase))
        self.phase = phase

    async def _disturbed(self, devices: list[DrillClient], disturb: Callable[["Drill"], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(device.post_repeatedly(self.rate / len(devices)))
            wandering = group.create_task(_wander(devices))
            await asyncio.sleep(_WARM_SECONDS)
            await disturb(self)
            wandering.cancel()
            for device in devices:
                device.stopped = True

    async def _quiesce(self, population: Population) -> DrillRecords:
        """Waits until all devices have reconnected and have sent a last message to each chat.

        Then waits until everything is delivered.
        """
        self.phase = "last words"
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                staying = [device for device in population.devices if not device.retired]
                last = [follower.finish() for follower in population.followers]
                await asyncio.gather(*map(_send_last_messages, staying), *last)
        self.phase = "delivery"
        recorded = await self._records_of(population)
        deadline = time.monotonic() + self.patience
        while not _complete(recorded) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            recorded = await self._records_of(population)
        return recorded

    async def _records_of(self, population: Population) -> DrillRecords:
        """Copies the records, and reads the history afterwards.

        In this order, the history must contain every acknowledged message of the records.
        """
        records = list(self.records)
        try:
            history = await self.history(list(population.members))
        except RequestError:
            history = {}
        try:
            presence = None if self.presence is None else await self.presence()
        except RedisError:
            presence = {}
        sleepers = frozenset(sleeper.number for sleeper in population.sleepers)
        followers = frozenset(follower.account.number for follower in population.followers)
        return DrillRecords(population.members, records, history, presence, sleepers, followers, self.proxied)

    async def _watch(self) -> None:
        began = time.monotonic()
        while True:
            before = time.monotonic()
            await asyncio.sleep(1)
            self.records.append(DrillStalled(time.monotonic(), time.monotonic() - before - 1))
            seen = Counter(type(record) for record in self.records)
            self.report(
                f"{time.monotonic() - began:4.0f} s  {self.phase:<10}  edges {len(self.edges)}  "
                f"sent {seen[MessageSent]}  acknowledged {seen[MessageAcknowledged]}  "
                f"delivered {seen[MessageReceived]}  reconnects {seen[Closed]}  faults {seen[Fault]}"
            )


def _complete(recorded: DrillRecords) -> bool:
    """Returns whether all messages of the history were delivered to all members, and whether presence names all
    connections.
    """
    record_index = RecordIndex(recorded)
    missing = chain(delivered(record_index), registered(record_index))
    return not record_index.unread and next(missing, None) is None


async def _wander(devices: list[DrillClient]) -> None:
    """Makes users close their connections with a closing handshake, and reconnect.

    Afterwards, no message may be delivered twice.
    """
    async with asyncio.TaskGroup() as group:
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5))
            group.create_task(random.choice(devices).leave(random.uniform(0, _AWAY_SECONDS)))


async def _send_last_messages(device: DrillClient) -> None:
    for chat in device.user.chats:
        while not device.may_post:
            await asyncio.sleep(0.05)
        device.post(chat)
    while device.connection is None or device.connection.unanswered:
        await asyncio.sleep(0.05)
