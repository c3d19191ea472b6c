"""History pages: compares a page of a short chat, of a long one, and of one among many."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bench.errors import BenchError
from bench.load import message_tag
from bench.load.dialects import BY_NAME
from bench.load.protocol import HistoryPaging, Job, PagedChat, Seat
from bench.measurements.measured import measured
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.accounts import Registrar, Step
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem
from clients.aio import connect
from clients.codec.base import ClientAccount
from clients.codec.events import ServerReply

_READERS = 4


class HistoryOptions(NamedTuple):
    """Pages of `size` messages: of the only chat, then of a chat of `messages` and of the last of `chats`, at random
    places, in one dialect. Each measurement takes `seconds`."""

    dialect: str
    messages: int
    chats: int
    size: int
    warm_up: float
    seconds: float


class HistorySource(Protocol):
    """Creates the readers and the chats with histories."""

    async def readers(self) -> Sequence[ClientAccount]: ...

    async def chats(self, count: int, length: int) -> int:
        """Create `count` chats of `length` messages; returns the last. Raises ClientError."""


class PostedHistories:
    """Sends the messages as a client."""

    def __init__(self, target: MeasuredSystem, show: ProgressLine, dialect: str) -> None:
        self._dialect = dialect
        self._edge = target.edges[0]
        self._show = show
        self._maker = Registrar(target.edges, show.step)
        self._readers: list[ClientAccount] = []

    async def readers(self) -> Sequence[ClientAccount]:
        self._readers = await self._maker.users([self._dialect] * _READERS)
        return self._readers

    async def chats(self, count: int, length: int) -> int:
        *_, last = await self._maker.chats([[(account, self._dialect) for account in self._readers]] * count)
        await fill(self._edge, self._readers[0], self._dialect, last, length, self._show.step)
        return last


class SeededHistories:
    """Writes the messages into the databases of a system started for the run."""

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
        self._seeder.analyze()
        return made


async def history(target: MeasuredSystem, show: ProgressLine, options: HistoryOptions) -> Result:
    """Measure it. Raises ClientError."""
    writer: HistorySource = PostedHistories(target, show, options.dialect)
    if target.own and target.installation:
        writer = SeededHistories(await asyncio.to_thread(Seeder, target.installation), show)
    readers = await writer.readers()
    seats = [Seat(account, options.dialect, target.edges[n % len(target.edges)]) for n, account in enumerate(readers)]
    short = 2 * options.size

    async def read_pages(*paged_chats: PagedChat) -> Result:
        job = Job(
            secrets.randbits(32),
            seats,
            HistoryPaging(options.size, options.warm_up, options.seconds, list(paged_chats)),
        )
        return await measured(
            "history", [job], target, show, options._asdict(), warm_up=options.warm_up, seconds=options.seconds
        )

    first = await read_pages(PagedChat("only chat", await writer.chats(1, short), short))
    long = PagedChat("long chat", await writer.chats(1, options.messages), options.messages)
    last = PagedChat("last chat", await writer.chats(options.chats - 2, short), short)
    return _compared(first, await read_pages(long, last))


def _compared(first: Result, second: Result) -> Result:
    """Merge both results and add the ratios of their p99 latencies."""
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


_IN_FLIGHT = 200
_SECONDS = 30.0
_SIZE = 150


class _Slots:
    """A listener that frees a slot with each reply."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(_IN_FLIGHT)
        self.error = ""

    def received(self, event: object, now: int) -> None:
        return

    def replied(self, reply: ServerReply, now: int) -> None:
        self.error = self.error or reply.error
        self.free.release()

    def ended(self) -> None:
        self.error = self.error or "the server ended the connection"


async def fill(edge: str, account: ClientAccount, dialect: str, chat: int, count: int, step: Step) -> None:
    """Send `count` messages and wait for all acknowledgements. Raises BenchError, ClientError."""
    slots, codec = _Slots(), BY_NAME[dialect]
    connection = await connect(edge, codec, slots)
    try:
        await connection.request(codec.login(account))
        write = codec.message_writer(account, chat)
        padding = b"x" * (_SIZE - message_tag.SIZE)
        for number in range(1, count + 1):
            await _acquire(slots)
            connection.send(write(message_tag.write(0, 1, number, time.monotonic_ns()) + padding))
            step("messages", number, count)
        for _ in range(_IN_FLIGHT):
            await _acquire(slots)
    finally:
        await connection.close()


async def _acquire(slots: _Slots) -> None:
    try:
        async with asyncio.timeout(_SECONDS):
            await slots.free.acquire()
    except TimeoutError:
        raise BenchError(slots.error or f"no reply to a message within {_SECONDS:g} s") from None
    if slots.error:
        raise BenchError(f"message rejected: {slots.error}")
