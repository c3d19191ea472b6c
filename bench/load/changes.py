"""Native users in pairs who edit, react to and read messages, one operation at a time."""

import asyncio
import time
from collections.abc import AsyncIterator

from bench.load.dialects import NATIVE
from bench.load.gather import gather_all
from bench.load.protocol import ChangeKind, Changes, Job, Progress, Seat
from bench.load.recorder import SECOND, Recorder, until
from bench.load.workload import Workload
from clients.aio import AsyncConnection, NullListener, connect
from clients.codec.base import ClientAccount, ClientRequest, Destination

_EDITS = 50
"""Of a message; the server limits them."""


class ChangesRun(Workload):
    """Carries out the task `Changes`. Two seats in a row are a pair: the first sends messages and changes them, the
    second is shown that, and reads them."""

    def __init__(self, job: Job, task: Changes, recorder: Recorder) -> None:
        self._job = job
        self._task = task
        self._recorder = recorder
        self._series = recorder.series(task.kind)
        self._connections: list[AsyncConnection] = []
        self._operations = 0

    async def connect(self) -> None:
        self._connections = await gather_all(map(self._enter, self._job.seats))

    async def _enter(self, seat: Seat) -> AsyncConnection:
        connection = await connect(seat.edge, NATIVE, NullListener())
        await connection.request(NATIVE.login(seat.account))
        return connection

    async def run(self, at: int) -> None:
        recorder = self._recorder
        recorder.open(at + int(self._task.warm_up * SECOND), self._task.seconds)
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: {self._task.kind: self._operations}), name="watch")
        pairs = zip(self._job.seats[::2], self._connections[::2], self._connections[1::2], strict=True)
        await gather_all(self._change(seat.chats[0], sender, reader) for seat, sender, reader in pairs)
        await watching

    async def _change(self, chat: int, sender: AsyncConnection, reader: AsyncConnection) -> None:
        """Until the end. Messages that are sent to be changed are not measured."""
        connection = reader if self._task.kind == "read" else sender
        async for request in self._requests(chat, sender):
            if (began := time.monotonic_ns()) >= self._recorder.end:
                return
            await connection.request(request)
            self._series.record(began, time.monotonic_ns())
            self._operations += 1

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

    @property
    def progress(self) -> Progress:
        return Progress(self._operations)

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections))
