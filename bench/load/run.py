"""The base classes for a worker's run of a task. Their defaults suit a task without messages."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from bench.load.dialects import CODECS
from bench.load.protocol import Job, Progress, Seat
from bench.load.recorder import SECOND, Recorder, until
from bench.load.verifier import SentCounts
from dragoman_client.aio import AsyncConnection, NullListener, connect

R = TypeVar("R")


async def gather_all(work: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """Wait for all coroutines, and return their results in order. The first exception cancels the other coroutines, and
    is raised unchanged."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def enter(seat: Seat) -> AsyncConnection:
    """Open a connection, and log in. Received events are ignored. Raises ClientError."""
    codec = CODECS[seat.dialect]
    connection = await connect(seat.edge, codec, NullListener())
    try:
        await connection.request(codec.login(seat.account))
    except BaseException:
        await connection.close()
        raise
    return connection


class TaskRun(ABC):
    """The methods are called in this order: `connect`, `run`, `reconcile`, `close`. `connect` and `run` raise
    ClientError."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    @abstractmethod
    async def connect(self) -> None:
        """Connect before the load starts."""

    @abstractmethod
    async def run(self, at: int) -> None:
        """Run the load from `at` (nanoseconds of the monotonic clock) to its end."""

    async def recorded(self, at: int, warm_up: float, seconds: float, load: Callable[[], Awaitable[object]]) -> None:
        """Run the load from `at` on, and measure it for `seconds` after `warm_up`. Returns when both have ended."""
        self.recorder.open(at + int(warm_up * SECOND), seconds)
        await until(at)
        watching = asyncio.create_task(self.recorder.watch(lambda: self.counts), name="watch")
        await load()
        await watching

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Counters that count all the time. The result of the run has their growth during the measurement."""

    @property
    @abstractmethod
    def progress(self) -> Progress: ...

    @property
    def sent_counts(self) -> SentCounts:
        return SentCounts()

    def reconcile(self, sent_counts: SentCounts) -> None:
        """Count lost messages. `sent_counts`: the messages that all processes have sent."""
        return

    async def close(self) -> None:
        return


class SeatedRun(TaskRun):
    """A run in which each seat keeps one connection until the end, and sends one request after the other."""

    def __init__(self, job: Job, recorder: Recorder, counted: str) -> None:
        super().__init__(recorder)
        self.seats = job.seats
        self.connections: list[AsyncConnection] = []
        self.done = 0
        self._counted = counted

    async def connect(self) -> None:
        self.connections = await gather_all(map(enter, self.seats))

    @property
    def counts(self) -> dict[str, int]:
        return {self._counted: self.done}

    @property
    def progress(self) -> Progress:
        return Progress(self.done)

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self.connections))
