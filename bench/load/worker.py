"""A worker process: reads its job and orders from standard input, writes reports to standard output, as JSON lines.

It ends at the end of its standard input, so it never outlives the command.
"""

import asyncio
import gc
import sys
from typing import TypeVar

import msgspec
import uvloop

from bench.load.conversation_runs import ConversationRun, MixedRun, ReconnectRun, SurgeRun
from bench.load.protocol import (
    Changes,
    Failed,
    HistoryPaging,
    Job,
    LoginChurn,
    Mixed,
    Order,
    Ready,
    Reconcile,
    Reconnect,
    Report,
    SentReport,
    Start,
    Stop,
    Surge,
    Talk,
)
from bench.load.recorder import Recorder
from bench.load.request_runs import ChangesRun, HistoryPagingRun, LoginChurnRun
from bench.load.run import TaskRun
from clients.errors import ClientError

_PROGRESS_SECONDS = 0.2
_LINE_BYTES = 256 * 1024 * 1024
_ORDERS = 4

T = TypeVar("T", bound=Order)


class _Ended(Exception):
    """Standard input has ended: the command has exited."""


class _Orders:
    """A queue of orders. `read` runs all the time, so that the end of the command is noticed at any moment."""

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
        case Changes():
            return ChangesRun(job, job.task, recorder)
        case Reconnect():
            return ReconnectRun(job, job.task, recorder)
        case Mixed():
            return MixedRun(job, job.task, recorder)
        case Surge():
            return SurgeRun(job, job.task, recorder)


async def _serve() -> None:
    """Carry out the orders. Raises _Ended in an exception group."""
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
        gone = True  # until Python 3.11.3, to exit here is one more exception of the group
    sys.exit(gone)


if __name__ == "__main__":
    main()
