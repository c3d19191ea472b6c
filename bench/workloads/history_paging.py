"""People who read histories, page by page, each page checked: so many messages, without a gap."""

import asyncio
import random
import time
from itertools import cycle

from bench.load.connection import Deaf, Line, dial
from bench.load.gather import together
from bench.load.protocol import Job, Leaf, Progress, Seat
from bench.load.recorder import SECOND, Recorder, until
from bench.load.verifier import faults_of_page
from bench.load.workload import Activity
from bench.tongues import SERVICE
from bench.tongues.base import Asked


class Leafing(Activity):
    """The task `Leaf`: every seat asks for one page at a time, from a random place, of each walk in turn."""

    def __init__(self, job: Job, task: Leaf, recorder: Recorder) -> None:
        self._job = job
        self._task = task
        self._recorder = recorder
        self._spans = {walk.name: recorder.series(walk.name) for walk in task.walks}
        self._lines: list[Line] = []
        self._random = random.Random(job.run)  # noqa: S311 (no secret)
        self._pages = 0

    async def connect(self) -> None:
        self._lines = await together(map(self._enter, self._job.seats))

    async def _enter(self, seat: Seat) -> Line:
        line = await dial(seat.edge, SERVICE, Deaf())
        await line.ask(SERVICE.login(seat.person), Asked.LOGIN)
        return line

    async def run(self, at: int) -> None:
        recorder = self._recorder
        recorder.open(at + int(self._task.warm_up * SECOND), self._task.seconds)
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: {"pages": self._pages}), name="watch")
        await together(self._leaf(seat, line) for seat, line in zip(self._job.seats, self._lines, strict=True))
        await watching

    async def _leaf(self, seat: Seat, line: Line) -> None:
        walks, size = cycle(self._task.walks), self._task.size
        while (now := time.monotonic_ns()) < self._recorder.end:
            walk = next(walks)
            start = self._random.randint(size, walk.length)
            page = await line.ask(SERVICE.page(seat.person, walk.chat, start, size), Asked.ANYTHING)
            self._recorder.faults.merge(faults_of_page(start, size, [one.position for one in page.said]))
            self._spans[walk.name].record(now, time.monotonic_ns())
            self._pages += 1

    @property
    def progress(self) -> Progress:
        return Progress(self._pages)

    async def close(self) -> None:
        await asyncio.gather(*(line.close() for line in self._lines))
