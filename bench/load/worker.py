"""A worker process. It reads its job and its orders from standard input, and writes reports to standard output, as JSON
lines.

The worker ends at the end of its standard input, so it never outlives the command.
"""

import asyncio
import gc
import random
import sys
import time
from functools import partial
from itertools import cycle
from typing import TypeVar

import msgspec
import uvloop

from bench.load.conversation_runs import ConversationRun, ReconnectRun
from bench.load.dialects import CODECS
from bench.load.pacing import Pace
from bench.load.protocol import (
    Failed,
    HistoryPaging,
    Job,
    LoginChurn,
    Order,
    Progress,
    Ready,
    Reconcile,
    Reconnect,
    Report,
    Seat,
    SentReport,
    Start,
    Stop,
    Talk,
)
from bench.load.recorder import Recorder, until
from bench.load.run import SeatedRun, TaskRun, enter, gather_all
from bench.load.verifier import faults_of_page
from dragoman_client.aio import AsyncConnection
from dragoman_client.errors import ClientError


class HistoryPagingRun(SeatedRun):
    """Does the task `HistoryPaging`. Each seat requests one page at a time, at a random place of one chat after the
    other."""

    def __init__(self, job: Job, task: HistoryPaging, recorder: Recorder) -> None:
        super().__init__(job, recorder, "pages")
        self._task = task
        self._spans = {paged.name: recorder.series(paged.name) for paged in task.paged_chats}
        self._random = random.Random(job.run)  # noqa: S311 (no secret)

    async def run(self, at: int) -> None:
        await self.recorded(at, self._task.warm_up, self._task.seconds, self._read_all)

    async def _read_all(self) -> None:
        await gather_all(map(self._read_pages, self.seats, self.connections))

    async def _read_pages(self, seat: Seat, connection: AsyncConnection) -> None:
        paged_chats, size, codec = cycle(self._task.paged_chats), self._task.size, CODECS[seat.dialect]
        while (now := time.monotonic_ns()) < self.recorder.end:
            paged = next(paged_chats)
            start = self._random.randint(size, paged.length)
            page = await connection.request(codec.history(seat.account, paged.chat, size, start))
            self.recorder.faults.merge(faults_of_page(start, size, [one.position for one in page.messages]))
            self._spans[paged.name].record(now, time.monotonic_ns())
            self.done += 1


class LoginChurnRun(TaskRun):
    """Does the task `LoginChurn`. A latency counts from the due time to the reply to the login."""

    def __init__(self, job: Job, task: LoginChurn, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._task = task
        self._spans = recorder.series("login")
        self._seats = cycle(job.seats)
        self._slots = asyncio.Semaphore(task.at_once)
        self._done = self._failed = 0

    async def connect(self) -> None:
        return

    async def run(self, at: int) -> None:
        logins = partial(self._log_in_at_rate, at) if self._task.rate else self._log_in_at_once
        await self.recorded(at, self._task.warm_up, self._task.seconds, logins)

    async def _log_in_at_once(self) -> None:
        await gather_all(self._log_in_repeatedly() for _ in range(self._task.at_once))

    async def _log_in_repeatedly(self) -> None:
        while (now := time.monotonic_ns()) < self.recorder.end:
            await self._log_in(next(self._seats), now)

    async def _log_in_at_rate(self, at: int) -> None:
        pace = Pace(self._task.rate, at, self.recorder.end)
        async with asyncio.TaskGroup() as group:
            while (due := pace.next) is not None:
                await until(due)
                for due in pace.pop_due(time.monotonic_ns()):
                    await self._slots.acquire()
                    login = group.create_task(self._log_in(next(self._seats), due))
                    login.add_done_callback(lambda _: self._slots.release())

    async def _log_in(self, seat: Seat, due: int) -> None:
        try:
            connection = await enter(seat)
        except ClientError as error:
            self._failed += 1
            self.recorder.rejected(str(error))
        else:
            self._done += 1
            self._spans.record(due, time.monotonic_ns())
            await connection.close()

    @property
    def counts(self) -> dict[str, int]:
        return {"logins": self._done, "failed": self._failed}

    @property
    def progress(self) -> Progress:
        return Progress(self._done)


_PROGRESS_SECONDS = 0.2
_LINE_BYTES = 256 * 1024 * 1024
_ORDERS = 4

T = TypeVar("T", bound=Order)


class _Ended(Exception):
    """The standard input has ended, which means that the command has exited."""


class _Orders:
    """A queue of orders. `read` runs all the time, so that the end of the command is noticed at once."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._orders: asyncio.Queue[Order] = asyncio.Queue(_ORDERS)

    async def read(self) -> None:
        decode = msgspec.json.Decoder(Order).decode
        while line := await self._reader.readline():
            await self._orders.put(decode(line))
        raise _Ended

    async def next(self, kind: type[T]) -> T:
        order = await self._orders.get()
        assert isinstance(order, kind), order
        return order


def _report(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def _run(job: Job, recorder: Recorder) -> TaskRun:
    match job.task:
        case Talk():
            return ConversationRun(job, job.task, recorder)
        case LoginChurn():
            return LoginChurnRun(job, job.task, recorder)
        case HistoryPaging():
            return HistoryPagingRun(job, job.task, recorder)
        case Reconnect():
            return ReconnectRun(job, job.task, recorder)


async def _serve() -> None:
    """Follow the orders. Raises _Ended in an exception group."""
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders = _Orders(reader)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(orders.read(), name="orders")
        await _work(orders, group)
        reading.cancel()


async def _work(orders: _Orders, group: asyncio.TaskGroup) -> None:
    recorder = Recorder()
    run = _run(await orders.next(Job), recorder)
    try:
        await run.connect()
        gc.collect()
        gc.freeze()
        _report(Ready())
        start = await orders.next(Start)
        over = asyncio.Event()
        reporting = group.create_task(_send_progress(run, over), name="progress")
        await run.run(start.at)
        over.set()
        await orders.next(Stop)
        reporting.cancel()
        _report(SentReport(run.sent_counts))
        run.reconcile((await orders.next(Reconcile)).sent_counts)
        _report(recorder.totals())
    except ClientError as error:
        _report(Failed(str(error)))
    finally:
        await run.close()


async def _send_progress(run: TaskRun, over: asyncio.Event) -> None:
    while True:
        _report(msgspec.structs.replace(run.progress, over=over.is_set()))
        await asyncio.sleep(_PROGRESS_SECONDS)


def main() -> None:
    gone = False
    try:
        uvloop.run(_serve())
    except* (_Ended, BrokenPipeError):
        gone = True  # before Python 3.11.4, sys.exit() here would add an exception to the group
    sys.exit(gone)


if __name__ == "__main__":
    main()
