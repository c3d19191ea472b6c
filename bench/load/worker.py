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
    Go,
    Hush,
    Job,
    Knock,
    Leaf,
    Live,
    Order,
    Ready,
    Report,
    Return,
    Settle,
    Spoke,
    Surge,
    Talk,
)
from bench.load.recorder import Recorder
from bench.load.workload import Activity
from bench.workloads.conversation import Talking
from bench.workloads.history_paging import Leafing
from bench.workloads.login_churn import Knocking
from bench.workloads.mixed import Living
from bench.workloads.reconnect import Returning
from bench.workloads.surge import Surging
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


def _activity(job: Job, recorder: Recorder) -> Activity:
    match job.task:
        case Talk():
            return Talking(job, job.task, recorder)
        case Knock():
            return Knocking(job, job.task, recorder)
        case Leaf():
            return Leafing(job, job.task, recorder)
        case Return():
            return Returning(job, job.task, recorder)
        case Live():
            return Living(job, job.task, recorder)
        case Surge():
            return Surging(job, job.task, recorder)


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
    activity = _activity(await orders.next(Job), recorder)
    try:
        await activity.connect()
        gc.collect()
        gc.freeze()
        _report(Ready())
        go = await orders.next(Go)
        over = asyncio.Event()
        telling = group.create_task(_tell(activity, over), name="progress")
        await activity.run(go.at)
        over.set()
        await orders.next(Hush)
        telling.cancel()
        _report(Spoke(activity.spoken))
        activity.settle((await orders.next(Settle)).spoken)
        _report(recorder.tally())
    except ClientError as error:
        _report(Failed(str(error)))
    finally:
        await activity.close()


async def _tell(activity: Activity, over: asyncio.Event) -> None:
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
