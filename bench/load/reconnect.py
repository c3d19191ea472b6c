"""Clients that lose their edge and all reconnect at once."""

import asyncio
import time
from itertools import cycle

from bench.load.message_tag import SIZE
from bench.load.protocol import Job, Reconnect
from bench.load.recorder import Recorder, until
from bench.load.run import gather_all
from bench.load.session import Conversations, ConversingRun, LoadConnection, TagSender
from clients.errors import ClientError
from shared.tasks import growing_pauses

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
_LOOK_SECONDS = 0.01


class ReconnectRun(ConversingRun):
    """Carries out the task `Reconnect`. Latencies count from the first lost connection of this process: `login` to the
    login reply, `back` to the receipt of the missed message."""

    def __init__(self, job: Job, task: Reconnect, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, SIZE, recorder))
        self._task = task
        self._senders = list(self.conversations.senders.values())
        sending = [sender.device for sender in self._senders]
        self._dropped = [device for device in self.conversations.devices if device not in sending]
        self._logins, self._backs = recorder.series("login"), recorder.series("back")
        self._dropped_at = 0
        self.conversations.drops_expected = True

    async def run(self, at: int) -> None:
        recorder = self.recorder
        await until(at)
        recorder.open(at, self._task.seconds)
        if self._task.cuts:
            for device in self._dropped:
                if device.connection is not None:
                    device.connection.abort()
        try:
            with recorder.working():
                async with asyncio.timeout(self._task.seconds):
                    await gather_all([self._send(), *(self._reconnect(number) for number in range(len(self._dropped)))])
        except TimeoutError:
            recorder.rejected(f"not back within {self._task.seconds:g} s")

    async def _send(self) -> None:
        await asyncio.gather(*(device.dropped.wait() for device in self._dropped))
        await gather_all([self._send_from(sender) for sender in self._senders])

    async def _send_from(self, sender: TagSender) -> None:
        """Send until a message is acknowledged: the clients are back when they have received one."""
        if self._task.all_edges:
            await sender.device.dropped.wait()
            await self._log_in(sender.device, sender.number)
        while not await self._is_acknowledged(sender):  # noqa: ASYNC110 (a pause between attempts)
            await asyncio.sleep(_LONGEST_PAUSE_SECONDS)

    async def _is_acknowledged(self, sender: TagSender) -> bool:
        sender.send(time.monotonic_ns())
        while sender.device.pending:  # noqa: ASYNC110 (the replies of all senders of a connection)
            await asyncio.sleep(_LOOK_SECONDS)
        return sender.sent not in sender.rejected

    async def _reconnect(self, number: int) -> None:
        device = self._dropped[number]
        await device.dropped.wait()
        self._dropped_at = self._dropped_at or time.monotonic_ns()
        await self._log_in(device, number)
        self._logins.record(self._dropped_at, device.logged_in)
        while device.inbox.is_empty:  # noqa: ASYNC110 (must cost nothing when a message comes)
            await asyncio.sleep(_LOOK_SECONDS)
        self._backs.record(self._dropped_at, time.monotonic_ns())

    async def _log_in(self, device: LoadConnection, number: int) -> None:
        """Try the edges in turn, the failed one last, with growing pauses."""
        *others, fallen = self._task.edges
        first = number % max(1, len(others))
        pauses = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        for edge in cycle([*others[first:], *others[:first], fallen]):
            try:
                return await device.log_in(edge)
            except ClientError as error:
                self.recorder.rejected(str(error))
            await asyncio.sleep(next(pauses))
