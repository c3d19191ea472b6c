"""Connections that log in and close: login rate and latency."""

import asyncio
import time
from functools import partial
from itertools import cycle

from bench.load.pacing import Pace
from bench.load.protocol import Job, LoginChurn, Progress, Seat
from bench.load.recorder import Recorder, until
from bench.load.run import TaskRun, enter, gather_all
from clients.errors import ClientError


class LoginChurnRun(TaskRun):
    """Carries out the task `LoginChurn`. Latency counts from the due time to the login reply."""

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
