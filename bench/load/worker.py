"""One process of a run: takes its job and its orders on standard input, reports on standard output, a JSON line each.

It ends with its standard input, so that it never outlives the command.
"""

import asyncio
import gc
import sys
from typing import TypeVar

import msgspec
import uvloop

from bench.load.protocol import (
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
    Stages,
    Start,
    Stop,
    Talk,
)
from bench.load.recorder import Recorder
from bench.load.workload import Workload
from bench.workloads.conversation import ConversationRun
from bench.workloads.history_paging import HistoryPagingRun
from bench.workloads.login_churn import LoginChurnRun
from bench.workloads.mixed import MixedRun
from bench.workloads.reconnect import ReconnectRun
from bench.workloads.surge import SurgeRun
from clients.errors import ClientError

_PROGRESS_SECONDS = 0.2
_LINE_BYTES = 256 * 1024 * 1024
_ORDERS = 4

T = TypeVar("T", bound=Order)


class _Ended(Exception):
    """The command is gone."""


class _Orders:
    """`read` them all the time: the end of the command shows whatever this process is doing."""

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


def _workload(job: Job, recorder: Recorder) -> Workload:
    match job.task:
        case Talk():
            return ConversationRun(job, job.task, recorder)
        case LoginChurn():
            return LoginChurnRun(job, job.task, recorder)
        case HistoryPaging():
            return HistoryPagingRun(job, job.task, recorder)
        case Reconnect():
            return ReconnectRun(job, job.task, recorder)
        case Mixed():
            return MixedRun(job, job.task, recorder)
        case Stages():
            return SurgeRun(job, job.task, recorder)


async def _live() -> None:
    """Raises _Ended, in a group."""
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders = _Orders(reader)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(orders.read(), name="orders")
        await _work(orders, group)
        reading.cancel()


async def _work(orders: _Orders, group: asyncio.TaskGroup) -> None:
    recorder = Recorder()
    activity = _workload(await orders.next(Job), recorder)
    try:
        await activity.connect()
        gc.collect()
        gc.freeze()
        _report(Ready())
        go = await orders.next(Start)
        over = asyncio.Event()
        telling = group.create_task(_send_progress(activity, over), name="progress")
        await activity.run(go.at)
        over.set()
        await orders.next(Stop)
        telling.cancel()
        _report(SentReport(activity.sent_counts))
        activity.reconcile((await orders.next(Reconcile)).spoken)
        _report(recorder.totals())
    except ClientError as error:
        _report(Failed(str(error)))
    finally:
        await activity.close()


async def _send_progress(activity: Workload, over: asyncio.Event) -> None:
    while True:
        _report(msgspec.structs.replace(activity.progress, over=over.is_set()))
        await asyncio.sleep(_PROGRESS_SECONDS)


def main() -> None:
    gone = False
    try:
        uvloop.run(_live())
    except* (_Ended, BrokenPipeError):
        gone = True  # until Python 3.11.3, to exit here is one more exception of the group
    sys.exit(gone)


if __name__ == "__main__":
    main()
