"""Connections that log in and close: login rate and latency."""

import asyncio
import time
from itertools import cycle

from bench.load.dialects import BY_NAME
from bench.load.gather import gather_all
from bench.load.pacing import Pace
from bench.load.protocol import Job, LoginChurn, Progress, Seat
from bench.load.recorder import SECOND, Recorder, until
from bench.load.workload import Workload
from clients.aio import AsyncConnection, NullListener, connect
from clients.errors import ClientError


class LoginChurnRun(Workload):
    """Carries out the task `LoginChurn`. Latency counts from the due time to the login reply."""

    def __init__(self, job: Job, task: LoginChurn, recorder: Recorder) -> None:
        self._task = task
        self._recorder = recorder
        self._spans = recorder.series("login")
        self._seats = cycle(job.seats)
        self._slots = asyncio.Semaphore(task.at_once)
        self._done = self._failed = 0

    async def connect(self) -> None:
        return

    async def run(self, at: int) -> None:
        task, recorder = self._task, self._recorder
        recorder.open(at + int(task.warm_up * SECOND), task.seconds)
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: self._counts), name="watch")
        if task.rate:
            await self._log_in_at_rate(Pace(task.rate, at, recorder.end))
        else:
            await gather_all(self._log_in_repeatedly() for _ in range(task.at_once))
        await watching

    async def _log_in_repeatedly(self) -> None:
        while (now := time.monotonic_ns()) < self._recorder.end:
            await self._log_in(next(self._seats), now)

    async def _log_in_at_rate(self, pace: Pace) -> None:
        async with asyncio.TaskGroup() as group:
            while (due := pace.next) is not None:
                await until(due)
                for due in pace.pop_due(time.monotonic_ns()):
                    await self._slots.acquire()
                    login = group.create_task(self._log_in(next(self._seats), due))
                    login.add_done_callback(lambda _: self._slots.release())

    async def _log_in(self, seat: Seat, due: int) -> None:
        connection: AsyncConnection | None = None
        codec = BY_NAME[seat.dialect]
        try:
            connection = await connect(seat.edge, codec, NullListener())
            await connection.request(codec.login(seat.account))
        except ClientError as error:
            self._failed += 1
            self._recorder.rejected(str(error))
        else:
            self._done += 1
            self._spans.record(due, time.monotonic_ns())
        finally:
            if connection is not None:
                await connection.close()

    @property
    def _counts(self) -> dict[str, int]:
        return {"logins": self._done, "failed": self._failed}

    @property
    def progress(self) -> Progress:
        return Progress(self._done)

    async def close(self) -> None:
        return
