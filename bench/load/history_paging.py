"""Clients that request history pages; each page is checked for gaps and duplicates."""

import asyncio
import random
import time
from itertools import cycle

from bench.load.dialects import BY_NAME
from bench.load.gather import gather_all
from bench.load.protocol import HistoryPaging, Job, Progress, Seat
from bench.load.recorder import SECOND, Recorder, until
from bench.load.verifier import faults_of_page
from bench.load.workload import Workload
from clients.aio import AsyncConnection, NullListener, connect


class HistoryPagingRun(Workload):
    """Carries out the task `HistoryPaging`: each seat requests one page at a time, at a random place of each chat in
    turn."""

    def __init__(self, job: Job, task: HistoryPaging, recorder: Recorder) -> None:
        self._job = job
        self._task = task
        self._recorder = recorder
        self._spans = {paged.name: recorder.series(paged.name) for paged in task.paged_chats}
        self._connections: list[AsyncConnection] = []
        self._random = random.Random(job.run)  # noqa: S311 (no secret)
        self._pages = 0

    async def connect(self) -> None:
        self._connections = await gather_all(map(self._enter, self._job.seats))

    async def _enter(self, seat: Seat) -> AsyncConnection:
        codec = BY_NAME[seat.dialect]
        connection = await connect(seat.edge, codec, NullListener())
        await connection.request(codec.login(seat.account))
        return connection

    async def run(self, at: int) -> None:
        recorder = self._recorder
        recorder.open(at + int(self._task.warm_up * SECOND), self._task.seconds)
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: {"pages": self._pages}), name="watch")
        both = zip(self._job.seats, self._connections, strict=True)
        await gather_all(self._read_pages(seat, connection) for seat, connection in both)
        await watching

    async def _read_pages(self, seat: Seat, connection: AsyncConnection) -> None:
        paged_chats, size, codec = cycle(self._task.paged_chats), self._task.size, BY_NAME[seat.dialect]
        while (now := time.monotonic_ns()) < self._recorder.end:
            paged = next(paged_chats)
            start = self._random.randint(size, paged.length)
            page = await connection.request(codec.history(seat.account, paged.chat, size, start))
            self._recorder.faults.merge(faults_of_page(start, size, [one.position for one in page.messages]))
            self._spans[paged.name].record(now, time.monotonic_ns())
            self._pages += 1

    @property
    def progress(self) -> Progress:
        return Progress(self._pages)

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections))
