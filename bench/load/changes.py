"""Native users in pairs who edit, react to and read messages, one operation at a time."""

import time
from collections.abc import AsyncIterator

from bench.load.dialects import NATIVE
from bench.load.protocol import ChangeKind, Changes, Job
from bench.load.recorder import Recorder
from bench.load.run import SeatedRun, gather_all
from clients.aio import AsyncConnection
from clients.codec.base import ClientAccount, ClientRequest, Destination

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
