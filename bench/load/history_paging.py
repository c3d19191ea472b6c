"""Clients that request history pages; each page is checked for gaps and duplicates."""

import random
import time
from itertools import cycle

from bench.load.dialects import BY_NAME
from bench.load.protocol import HistoryPaging, Job, Seat
from bench.load.recorder import Recorder
from bench.load.run import SeatedRun, gather_all
from bench.load.verifier import faults_of_page
from clients.aio import AsyncConnection


class HistoryPagingRun(SeatedRun):
    """Carries out the task `HistoryPaging`: each seat requests one page at a time, at a random place of each chat in
    turn."""

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
        paged_chats, size, codec = cycle(self._task.paged_chats), self._task.size, BY_NAME[seat.dialect]
        while (now := time.monotonic_ns()) < self.recorder.end:
            paged = next(paged_chats)
            start = self._random.randint(size, paged.length)
            page = await connection.request(codec.history(seat.account, paged.chat, size, start))
            self.recorder.faults.merge(faults_of_page(start, size, [one.position for one in page.messages]))
            self._spans[paged.name].record(now, time.monotonic_ns())
            self.done += 1
