"""Histories: whether a page costs the same from a short chat, from a long one, and from one of many."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bench.load.protocol import HistoryPaging, Job, PagedChat, Seat
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import measured
from bench.measurement.system import MeasuredSystem
from bench.population.accounts import Registrar
from bench.population.history_fill import fill
from bench.population.seeding import Seeder
from clients.codec.base import ClientAccount

_READERS = 4


class HistoryOptions(NamedTuple):
    """Pages of `size` messages: of the only chat there is, then of a chat of `messages`, and of the last of `chats`
    (both at random places). Measured for `seconds` each time."""

    messages: int
    chats: int
    size: int
    warm_up: float
    seconds: float


class HistorySource(Protocol):
    """Who fills the library."""

    async def readers(self) -> Sequence[ClientAccount]: ...

    async def chats(self, count: int, length: int) -> int:
        """So many, each of so many messages; the last of them. Raises ClientError."""


class PostedHistories:
    """Says it all, as anybody would."""

    def __init__(self, target: MeasuredSystem, show: ProgressLine) -> None:
        self._edge = target.edges[0]
        self._show = show
        self._maker = Registrar(target.edges, show.step)
        self._people: list[ClientAccount] = []

    async def readers(self) -> Sequence[ClientAccount]:
        self._people = await self._maker.users(["service"] * _READERS)
        return self._people

    async def chats(self, count: int, length: int) -> int:
        *_, last = await self._maker.chats([[(person, "service") for person in self._people]] * count)
        await fill(self._edge, self._people[0], last, length, self._show.step)
        return last


class SeededHistories:
    """Writes it into the databases of a system that nobody else needs."""

    def __init__(self, seeder: Seeder, show: ProgressLine) -> None:
        self._seeder = seeder
        self._show = show
        self._accounts = range(0)

    async def readers(self) -> Sequence[ClientAccount]:
        self._accounts = await asyncio.to_thread(self._seeder.accounts, _READERS)
        return self._seeder.users(self._accounts)

    async def chats(self, count: int, length: int) -> int:
        self._show.print(f"seeding {count * length:,} messages")
        made = await asyncio.to_thread(self._write, count, length)
        await self._seeder.publish(made)
        return made[-1]

    def _write(self, count: int, length: int) -> range:
        made = self._seeder.chats(self._accounts, _READERS, each=count, unread_from=length + 1)
        self._seeder.history(made, length, self._accounts[0])
        self._seeder.settle()
        return made


async def history(target: MeasuredSystem, show: ProgressLine, library: HistoryOptions) -> Result:
    """Raises ClientError."""
    writer: HistorySource = PostedHistories(target, show)
    if target.own and target.installation:
        writer = SeededHistories(await asyncio.to_thread(Seeder, target.installation), show)
    people = await writer.readers()
    seats = [Seat(person, "service", target.edges[n % len(target.edges)]) for n, person in enumerate(people)]
    short = 2 * library.size

    async def leaf(*walks: PagedChat) -> Result:
        job = Job(
            secrets.randbits(32), seats, HistoryPaging(library.size, library.warm_up, library.seconds, list(walks))
        )
        return await measured(
            "history", [job], target, show, library._asdict(), warm_up=library.warm_up, seconds=library.seconds
        )

    first = await leaf(PagedChat("only chat", await writer.chats(1, short), short))
    long = PagedChat("long chat", await writer.chats(1, library.messages), library.messages)
    last = PagedChat("last chat", await writer.chats(library.chats - 2, short), short)
    return _compared(first, await leaf(long, last))


def _compared(first: Result, second: Result) -> Result:
    """Both as one, with what matters: how much slower it has become."""
    first.faults.merge(second.faults)
    second.faults = first.faults
    second.measures = first.measures | second.measures
    second.passed = first.passed and second.passed
    base = first.measures.get("only chat")
    for name in ("long chat", "last chat"):
        grown = second.measures.get(name)
        if base and grown and base.p99:
            second.figures[f"p99 of {name} / only chat"] = round(grown.p99 / base.p99, 2)
    return second
