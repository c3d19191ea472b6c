"""What may grow, one thing at a time. People are seeded; then some of them talk at a steady rate, far from what the
system can do, and what a message costs is counted in processor time, which others on the machine disturb least."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

from bench.growth.fit import FLAT, LINEAR
from bench.load.protocol import Seat
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import measured
from bench.measurement.system import MeasuredSystem
from bench.population.plan import Load, conversations
from bench.population.seeding import Seeder

_LOGINS_AT_ONCE = 32


class RunOptions(NamedTuple):
    """For each point: so many `seconds`, after a `warm_up` and a `rest`, at `rate` messages a second, or fewer, so that
    there are no more than `deliveries` a second."""

    seconds: float
    warm_up: float
    rest: float
    rate: float
    deliveries: float
    size: int
    processes: int
    dialects: Sequence[str]


class ChatPopulation(NamedTuple):
    """People in circles, each with as many chats as the others; they sit in the first of them. So many speak."""

    accounts: range
    chats: range
    speakers: int
    each: int = 1

    @property
    def circle(self) -> int:
        return len(self.accounts) * self.each // len(self.chats)


@dataclass
class GrowthStack:
    """Where points are measured, one after the other; `seeded` accounts are there already."""

    target: MeasuredSystem
    seedbed: Seeder
    show: ProgressLine
    effort: RunOptions
    seeded: int = 0

    def settle(self, count: int) -> range:
        self.seeded += count
        return self.seedbed.accounts(count)

    async def measure(self, axis: "GrowthAxis", x: int) -> Result:
        """Raises BenchError, ClientError."""
        scene = await asyncio.to_thread(axis.seed, self, x)
        await self.seedbed.publish(scene.chats)
        effort = self.effort
        rate = min(effort.rate, effort.deliveries / (scene.circle - 1))
        load = Load(effort.size, effort.warm_up, effort.seconds, rate)
        run, seats = secrets.randbits(32), await asyncio.to_thread(self._seats, scene)
        jobs = conversations(run, seats, range(scene.speakers), effort.processes, load)
        for job in jobs:
            job.at_once = _LOGINS_AT_ONCE
        return await measured(
            f"{x:,} {axis.title}", jobs, self.target, self.show, {}, warm_up=load.warm_up, seconds=load.seconds,
            offered=rate, rest=effort.rest,
        )  # fmt: skip

    def _seats(self, scene: ChatPopulation) -> list[Seat]:
        people, edges = self.seedbed.users(scene.accounts), cycle(self.target.edges)
        both = zip(people, cycle(self.effort.dialects), edges, strict=False)
        return [
            Seat(person, dialect, edge, [scene.chats[number // scene.circle * scene.each]])
            for number, (person, dialect, edge) in enumerate(both)
        ]


class GrowthAxis(NamedTuple):
    """`values` are measured, or the few of `quick`. `limit`: the exponent up to which the cost of a message may grow.
    `by_edges`: every value is a number of edges, and has a system of its own."""

    title: str
    values: Sequence[int]
    quick: Sequence[int]
    limit: float
    seed: Callable[[GrowthStack, int], ChatPopulation]
    by_edges: bool = False


_TALKERS, _COUPLES, _CIRCLE = 100, 40, 20


def _chat_size(place: GrowthStack, x: int) -> ChatPopulation:
    people = place.settle(x)
    return ChatPopulation(people, place.seedbed.chats(people, x), min(x, _CIRCLE))


def _connections(place: GrowthStack, x: int) -> ChatPopulation:
    people = place.settle(x // 2 * 2)
    return ChatPopulation(people, place.seedbed.chats(people, 2), min(x, _TALKERS))


def _chats(place: GrowthStack, x: int) -> ChatPopulation:
    people = place.settle(_COUPLES)
    return ChatPopulation(people, place.seedbed.chats(people, 2, each=x), _COUPLES, x)


def _edges(place: GrowthStack, _: int) -> ChatPopulation:
    people = place.settle(_TALKERS)
    return ChatPopulation(people, place.seedbed.chats(people, 2), _TALKERS)


def _history(place: GrowthStack, x: int) -> ChatPopulation:
    people = place.settle(_CIRCLE)
    chats = place.seedbed.chats(people, _CIRCLE, unread_from=x + 1)
    place.seedbed.history(chats, x, people[0])
    return ChatPopulation(people, chats, _CIRCLE)


def _accounts(place: GrowthStack, x: int) -> ChatPopulation:
    if place.seeded + _COUPLES < x:
        place.settle(x - _COUPLES - place.seeded)
    people = place.settle(_COUPLES)
    return ChatPopulation(people, place.seedbed.chats(people, 2), _COUPLES)


AXES = {
    "chat-size": GrowthAxis("members of a chat", (2, 10, 100, 300, 1_000, 3_000, 10_000), (2, 6), LINEAR, _chat_size),
    "connections": GrowthAxis("connections", (100, 300, 1_000, 3_000, 10_000), (4, 12), FLAT, _connections),
    "chats": GrowthAxis("chats of an account", (1, 10, 100, 1_000, 5_000), (1, 20), FLAT, _chats),
    "edges": GrowthAxis("edges", (1, 2, 3, 4), (1, 2), 2 - LINEAR, _edges, by_edges=True),
    "history": GrowthAxis("messages of a history", (1_000, 10_000, 100_000, 1_000_000), (10, 1_000), FLAT, _history),
    "accounts": GrowthAxis("accounts", (1_000, 10_000, 100_000, 1_000_000), (100, 1_000), FLAT, _accounts),
}
