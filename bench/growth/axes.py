"""The axes of growth. Each seeds a population, of which some accounts send at a steady rate far below saturation. The
cost of a message is measured as CPU time, which other processes of the machine disturb least."""

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
from bench.measurement.system import MeasuredSystem, SystemSize
from bench.population.plan import Load, conversations
from bench.population.seeding import Seeder

_LOGINS_AT_ONCE = 32


class RunOptions(NamedTuple):
    """Options of each point: `seconds` measured after `warm_up` and `rest`, at `rate` messages a second, or fewer to
    stay below `deliveries` a second."""

    seconds: float
    warm_up: float
    rest: float
    rate: float
    deliveries: float
    size: int
    processes: int
    dialects: Sequence[str]


class ChatPopulation(NamedTuple):
    """Accounts in groups of equal size, `each` chats for every group; they use the first. `speakers` of them send, at
    `rate` messages a second if it is not 0."""

    accounts: range
    chats: range
    speakers: int
    each: int = 1
    rate: float = 0.0

    @property
    def group_size(self) -> int:
        return len(self.accounts) * self.each // len(self.chats)


@dataclass
class GrowthStack:
    """The system on which points are measured in turn; `seeded`: number of accounts so far."""

    target: MeasuredSystem
    seeder: Seeder
    show: ProgressLine
    run_options: RunOptions
    seeded: int = 0

    def add_accounts(self, count: int) -> range:
        self.seeded += count
        return self.seeder.accounts(count)

    async def measure(self, axis: "GrowthAxis", x: int) -> Result:
        """Seed the population of a point and measure it. Raises BenchError, ClientError."""
        population = await asyncio.to_thread(axis.seed, self, x)
        await self.seeder.publish(population.chats)
        run_options = self.run_options
        rate = min(population.rate or run_options.rate, run_options.deliveries / (population.group_size - 1))
        load = Load(run_options.size, run_options.warm_up, run_options.seconds, rate)
        run, seats = secrets.randbits(32), await asyncio.to_thread(self._seats, population)
        jobs = conversations(run, seats, range(population.speakers), run_options.processes, load)
        for job in jobs:
            job.at_once = _LOGINS_AT_ONCE
        return await measured(
            f"{x:,} {axis.title}", jobs, self.target, self.show, {}, warm_up=load.warm_up, seconds=load.seconds,
            offered=rate, rest=run_options.rest,
        )  # fmt: skip

    def _seats(self, population: ChatPopulation) -> list[Seat]:
        accounts, edges = self.seeder.users(population.accounts), cycle(self.target.edges)
        users = zip(accounts, cycle(self.run_options.dialects), edges, strict=False)
        return [
            Seat(user, dialect, edge, [population.chats[number // population.group_size * population.each]])
            for number, (user, dialect, edge) in enumerate(users)
        ]


class GrowthAxis(NamedTuple):
    """`values` are measured, or `quick` ones. `limit`: the highest allowed exponent of a message's cost. `size`: each
    value is measured on a system of its own, of this size."""

    title: str
    values: Sequence[int]
    quick: Sequence[int]
    limit: float
    seed: Callable[[GrowthStack, int], ChatPopulation]
    size: Callable[[SystemSize, int], SystemSize] | None = None


_SENDERS, _PAIRED, _GROUP_SIZE = 100, 40, 20


def _chat_size(stack: GrowthStack, x: int) -> ChatPopulation:
    accounts = stack.add_accounts(x)
    return ChatPopulation(accounts, stack.seeder.chats(accounts, x), min(x, _GROUP_SIZE))


def _connections(stack: GrowthStack, x: int) -> ChatPopulation:
    accounts = stack.add_accounts(x // 2 * 2)
    return ChatPopulation(accounts, stack.seeder.chats(accounts, 2), min(x, _SENDERS))


def _chats(stack: GrowthStack, x: int) -> ChatPopulation:
    accounts = stack.add_accounts(_PAIRED)
    return ChatPopulation(accounts, stack.seeder.chats(accounts, 2, each=x), _PAIRED, x)


def _pairs(stack: GrowthStack, _: int) -> ChatPopulation:
    accounts = stack.add_accounts(_SENDERS)
    return ChatPopulation(accounts, stack.seeder.chats(accounts, 2), _SENDERS)


def _rate(stack: GrowthStack, x: int) -> ChatPopulation:
    return _pairs(stack, x)._replace(rate=x)


def _history(stack: GrowthStack, x: int) -> ChatPopulation:
    accounts = stack.add_accounts(_GROUP_SIZE)
    chats = stack.seeder.chats(accounts, _GROUP_SIZE, unread_from=x + 1)
    stack.seeder.history(chats, x, accounts[0])
    return ChatPopulation(accounts, chats, _GROUP_SIZE)


def _accounts(stack: GrowthStack, x: int) -> ChatPopulation:
    if stack.seeded + _PAIRED < x:
        stack.add_accounts(x - _PAIRED - stack.seeded)
    accounts = stack.add_accounts(_PAIRED)
    return ChatPopulation(accounts, stack.seeder.chats(accounts, 2), _PAIRED)


AXES = {
    "chat-size": GrowthAxis("members of a chat", (2, 10, 100, 300, 1_000, 3_000, 10_000), (2, 6), LINEAR, _chat_size),
    "connections": GrowthAxis("connections", (100, 300, 1_000, 3_000, 10_000), (4, 12), FLAT, _connections),
    "chats": GrowthAxis("chats of an account", (1, 10, 100, 1_000, 5_000), (1, 20), FLAT, _chats),
    "edges": GrowthAxis("edges", (1, 2, 3, 4), (1, 2), 2 - LINEAR, _pairs, lambda size, x: size._replace(edges=x)),
    "history": GrowthAxis("messages of a history", (1_000, 10_000, 100_000, 1_000_000), (10, 1_000), FLAT, _history),
    "accounts": GrowthAxis("accounts", (1_000, 10_000, 100_000, 1_000_000), (100, 1_000), FLAT, _accounts),
    "rate": GrowthAxis("messages a second", (50, 150, 500, 1_500, 5_000), (50, 100), FLAT, _rate),
    "replicas": GrowthAxis(
        "replicas of message", (1, 2, 4), (1, 2), FLAT, _pairs, lambda size, x: size._replace(replicas=x)
    ),
    "scale": GrowthAxis(
        "replicas of message and edges, of each", (1, 2, 4), (1, 2), FLAT, _pairs, lambda _, x: SystemSize(x, x)
    ),
}
