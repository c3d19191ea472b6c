"""Measures how the cost of a message grows along an axis, such as the number of chats. Each point of the axis has
accounts of its own. Some of these accounts send at a steady rate, which is far below saturation. The cost is measured
as CPU time, because other processes of the machine affect it least."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, NamedTuple

import click

from bench.cli import POSITIVE, SECONDS, dialects_option, own_options, replicas_option, run_and_report, size_of
from bench.growth.result import FLAT, LINEAR, Growth, GrowthPoint, point
from bench.load.plan import Load, conversations
from bench.load.protocol import Seat
from bench.measurements.measured import machine, measured
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem, SystemSize, own_system
from services.cli.console import default_option

_LOGINS_AT_ONCE = 32


class RunOptions(NamedTuple):
    """The options of each point. It is measured for `seconds`, after `warm_up` and `rest`. The rate is `rate` messages
    a second, or less if there would be more than `deliveries` a second."""

    seconds: float
    warm_up: float
    rest: float
    rate: float
    deliveries: float
    size: int
    processes: int
    dialects: Sequence[str]


class Accounts(NamedTuple):
    """Accounts in groups of equal size. Each group has `each` chats and uses the first of them. `speakers` accounts
    send, at `rate` messages a second if the rate is not 0."""

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
    """The measured system, with the accounts that were written so far (`seeded`: their number). The points of an axis
    are measured on this system one after the other."""

    target: MeasuredSystem
    seeder: Seeder
    show: ProgressLine
    run_options: RunOptions
    seeded: int = 0

    def add_accounts(self, count: int) -> range:
        self.seeded += count
        return self.seeder.accounts(count)

    async def measure(self, axis: "GrowthAxis", x: int) -> Result:
        """Write the accounts of a point into the databases, and measure the point. Raises BenchError, ClientError."""
        people = await asyncio.to_thread(axis.seed, self, x)
        await self.seeder.publish(people.chats)
        run_options = self.run_options
        rate = min(people.rate or run_options.rate, run_options.deliveries / (people.group_size - 1))
        load = Load(run_options.size, run_options.warm_up, run_options.seconds, rate)
        run, seats = secrets.randbits(32), await asyncio.to_thread(self._seats, people)
        jobs = conversations(run, seats, range(people.speakers), run_options.processes, load)
        for job in jobs:
            job.at_once = _LOGINS_AT_ONCE
        return await measured(
            f"{x:,} {axis.title}", jobs, self.target, self.show, {}, warm_up=load.warm_up, seconds=load.seconds,
            offered=rate, rest=run_options.rest,
        )  # fmt: skip

    def _seats(self, people: Accounts) -> list[Seat]:
        accounts, edges = self.seeder.users(people.accounts), cycle(self.target.edges)
        users = zip(accounts, cycle(self.run_options.dialects), edges, strict=False)
        return [
            Seat(user, dialect, edge, [people.chats[number // people.group_size * people.each]])
            for number, (user, dialect, edge) in enumerate(users)
        ]


class GrowthAxis(NamedTuple):
    """One axis along which the cost of a message is measured. `values`: its points. `quick`: fewer points, for a quick
    run. `limit`: the highest allowed exponent of a message's cost. `size`: set if each point is measured on a system of
    its own, which has this size."""

    title: str
    values: Sequence[int]
    quick: Sequence[int]
    limit: float
    seed: Callable[[GrowthStack, int], Accounts]
    size: Callable[[SystemSize, int], SystemSize] | None = None


_SENDERS, _PAIRED, _GROUP_SIZE = 100, 40, 20


def _chat_size(stack: GrowthStack, x: int) -> Accounts:
    accounts = stack.add_accounts(x)
    return Accounts(accounts, stack.seeder.chats(accounts, x), min(x, _GROUP_SIZE))


def _connections(stack: GrowthStack, x: int) -> Accounts:
    accounts = stack.add_accounts(x // 2 * 2)
    return Accounts(accounts, stack.seeder.chats(accounts, 2), min(x, _SENDERS))


def _chats(stack: GrowthStack, x: int) -> Accounts:
    accounts = stack.add_accounts(_PAIRED)
    return Accounts(accounts, stack.seeder.chats(accounts, 2, each=x), _PAIRED, x)


def _pairs(stack: GrowthStack, _: int) -> Accounts:
    accounts = stack.add_accounts(_SENDERS)
    return Accounts(accounts, stack.seeder.chats(accounts, 2), _SENDERS)


def _rate(stack: GrowthStack, x: int) -> Accounts:
    return _pairs(stack, x)._replace(rate=x)


def _history(stack: GrowthStack, x: int) -> Accounts:
    accounts = stack.add_accounts(_GROUP_SIZE)
    chats = stack.seeder.chats(accounts, _GROUP_SIZE, unread_from=x + 1)
    stack.seeder.history(chats, x, accounts[0])
    return Accounts(accounts, chats, _GROUP_SIZE)


def _accounts(stack: GrowthStack, x: int) -> Accounts:
    if stack.seeded + _PAIRED < x:
        stack.add_accounts(x - _PAIRED - stack.seeded)
    accounts = stack.add_accounts(_PAIRED)
    return Accounts(accounts, stack.seeder.chats(accounts, 2), _PAIRED)


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
        "number of replicas of message, and of edges", (1, 2, 4), (1, 2), FLAT, _pairs, lambda _, x: SystemSize(x, x)
    ),
}


_CHEAP_PASSWORDS = ("auth.argon2_memory_kib=8", "auth.argon2_iterations=1")


class GrowthPlan(NamedTuple):
    """`settings`: a list of NAME=VALUE. `values` replace the points of the axis. `quick`: whether to measure only a few
    small points."""

    size: SystemSize
    settings: Sequence[str]
    values: Sequence[int]
    quick: bool
    run_options: RunOptions


async def run_growth(names: Sequence[str], plan: GrowthPlan, show: ProgressLine) -> list[Growth]:
    """Measure the named axes. Raises BenchError, ClientError."""
    return [await _grow(name, AXES[name], plan, show) for name in names]


async def _grow(name: str, axis: GrowthAxis, plan: GrowthPlan, show: ProgressLine) -> Growth:
    started = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    points = await _points(axis, plan, show)
    options = {**plan.run_options._asdict(), **plan.size._asdict(), "settings": list(plan.settings)}
    return Growth(name, axis.title, started, machine(), options, points, None if plan.quick else axis.limit)


async def _points(axis: GrowthAxis, plan: GrowthPlan, show: ProgressLine) -> list[GrowthPoint]:
    values = plan.values or (axis.quick if plan.quick else axis.values)
    if axis.size is None:
        async with stack_of(plan.size, plan.settings, plan.run_options, show) as stack:
            return [point(x, await stack.measure(axis, x)) for x in values]
    points = []
    for x in values:
        async with stack_of(axis.size(plan.size, x), plan.settings, plan.run_options, show) as stack:
            points.append(point(x, await stack.measure(axis, x)))
    return points


@asynccontextmanager
async def stack_of(
    size: SystemSize, settings: Sequence[str], run_options: RunOptions, show: ProgressLine
) -> AsyncIterator[GrowthStack]:
    """Start a system, by default with cheap password hashes. Raises BenchError, ClientError."""
    async with own_system(size, (*_CHEAP_PASSWORDS, *settings), show.print) as target:
        assert target.installation is not None
        seeder = await asyncio.to_thread(Seeder, target.installation)
        yield GrowthStack(target, seeder, show, run_options)


_USUAL_AXES = [name for name in AXES if name not in ("replicas", "scale")]
"""The axes whose systems need no PostgreSQL."""


@click.command("growth", epilog="Example: dragoman bench growth --axis chats --quick")
@own_options
@dialects_option("pipe")
@click.option(
    "--axis", "axes", type=click.Choice([*AXES]), multiple=True,
    help="What grows (default: each, except on PostgreSQL); repeatable.",
)  # fmt: skip
@replicas_option
@click.option("--value", "values", type=POSITIVE, multiple=True, help="In place of the axis's own; repeatable.")
@default_option("--edges", 2, "Number of edges, unless --axis is edges.", click.IntRange(1, 64))
@default_option("--seconds", 8.0, "Measured seconds of each point.", SECONDS)
@default_option("--rate", 500.0, "Messages a second, at most.", click.FloatRange(1))
@default_option("--deliveries", 20_000.0, "Most deliveries a second.", click.FloatRange(1))
@default_option("--size", 150, "Bytes of a text.", click.IntRange(64, 16_384))
@click.option("--quick", is_flag=True, help="Measure a few small sizes only, as a smoke test.")
def growth_command(**given: Any) -> None:
    """Measure how the cost of a message grows with the system.

    The command measures growth with chats, connections, edges, histories and accounts. The command starts systems of
    its own, with accounts written straight into the databases.
    """
    seconds = 1.0 if given["quick"] else given["seconds"]
    run_options = RunOptions(
        seconds, seconds / 4, seconds / 2, given["rate"], given["deliveries"], given["size"], given["processes"],
        given["dialects"],
    )  # fmt: skip
    plan = GrowthPlan(size_of(given), given["settings"], sorted(given["values"]), given["quick"], run_options)
    sys.exit(run_and_report(given["json"], lambda show: run_growth(given["axes"] or _USUAL_AXES, plan, show)))
