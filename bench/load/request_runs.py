"""Runs of tasks over connections that request one thing after the other: changes, pages of history, logins."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import cycle

from bench.load.dialects import BY_NAME, NATIVE
from bench.load.pacing import Pace
from bench.load.protocol import ChangeKind, Changes, HistoryPaging, Job, LoginChurn, Progress, Seat
from bench.load.recorder import Recorder, until
from bench.load.run import SeatedRun, TaskRun, enter, gather_all
from bench.load.verifier import faults_of_page
from clients.aio import AsyncConnection
from clients.codec.base import ClientAccount, ClientRequest, Destination
from clients.errors import ClientError

_EDITS = 50
"""Of a message; the server limits them."""


class ChangesRun(SeatedRun):
    """Carries out the task `Changes`. Two seats in a row are a pair: the first sends messages and changes them, the
    second is shown that, and reads them."""

    def __init__(self, job: Job, task: Changes, recorder: Recorder) -> None:
        super().__init__(job, recorder, task.kind)
        self._task = task
        self._series = recorder.series(task.kind)

    async def run(self, at: int) -> None:
        await self.recorded(at, self._task.warm_up, self._task.seconds, self._change_all)

    async def _change_all(self) -> None:
        pairs = zip(self.seats[::2], self.connections[::2], self.connections[1::2], strict=True)
        await gather_all(self._change(seat.chats[0], sender, reader) for seat, sender, reader in pairs)

    async def _change(self, chat: int, sender: AsyncConnection, reader: AsyncConnection) -> None:
        """Until the end. Messages that are sent to be changed are not measured."""
        connection = reader if self._task.kind == "read" else sender
        async for request in self._requests(chat, sender):
            if (began := time.monotonic_ns()) >= self.recorder.end:
                return
            await connection.request(request)
            self._series.record(began, time.monotonic_ns())
            self.done += 1

    async def _requests(self, chat: int, sender: AsyncConnection) -> AsyncIterator[ClientRequest]:
        kind: ChangeKind = self._task.kind
        while True:
            draft = NATIVE.post(ClientAccount(), Destination(chat), "x" * self._task.size)
            if kind == "send":
                yield draft
                continue
            index = (await sender.request(draft)).position
            if kind == "read":
                yield NATIVE.read(chat, index)
                continue
            for number in range(_EDITS):
                if kind == "edit":
                    yield NATIVE.edit(chat, index, f"{number:03}".ljust(self._task.size, "x"))
                else:
                    yield NATIVE.react(chat, index, "👍", on=number % 2 == 0)


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
