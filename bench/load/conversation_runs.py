"""Runs of tasks with conversations: at a rate, in closed loops, in steps, of users that come and go."""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle

from bench.load.message_tag import SIZE
from bench.load.pacing import Pace
from bench.load.protocol import Job, Mixed, Reconnect, Surge, Talk
from bench.load.recorder import SECOND, Recorder, until
from bench.load.run import gather_all
from bench.load.session import Conversations, ConversingRun, LoadConnection, Loop, TagSender
from clients.errors import ClientError
from shared.tasks import growing_pauses

_SENT_AT_ONCE = 200
_ANSWERED_SECONDS = 10.0
_LOOK_SECONDS = 0.01
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0


class ConversationRun(ConversingRun):
    """Carries out the task `Talk`."""

    def __init__(self, job: Job, task: Talk, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, task.size, recorder))
        self._task = task
        self._open_loop = OpenLoop(self.conversations)
        senders = [self.conversations.senders[plan.number] for plan in job.senders]
        self._loops = [
            Loop([senders[index] for index in loop.senders], loop.window, loop.listeners, self.conversations)
            for loop in task.loops
        ]  # fmt: skip

    async def run(self, at: int) -> None:
        await self.recorded(at, self._task.warm_up, self._task.seconds, partial(self._send, at))

    async def _send(self, at: int) -> None:
        for loop in self._loops:
            loop.start()
        if self._task.rate:
            await self._open_loop.send_paced(Pace(self._task.rate, at, self.recorder.end))


class OpenLoop:
    """Sends at a given pace, by all senders in turn."""

    def __init__(self, conversations: Conversations) -> None:
        self._lateness = conversations.recorder.series("lateness")
        self._next_sender = cycle(conversations.senders.values())

    async def send_paced(self, pace: Pace) -> None:
        while (due := pace.next) is not None:
            await until(due)
            for number, due in enumerate(pace.pop_due(time.monotonic_ns()), 1):
                self._lateness.record(due, time.monotonic_ns())
                next(self._next_sender).send(due)
                if number % _SENT_AT_ONCE == 0:  # receive even when sending late
                    await asyncio.sleep(0)


class SurgeRun(ConversingRun):
    """Carries out the task `Surge`: the rate changes from step to step."""

    def __init__(self, job: Job, task: Surge, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, task.size, recorder))
        self._steps = task.steps
        self._open_loop = OpenLoop(self.conversations)

    async def run(self, at: int) -> None:
        await self.recorded(at, 0.0, sum(step.seconds for step in self._steps), partial(self._send, at))

    async def _send(self, at: int) -> None:
        for step in self._steps:
            end = at + int(step.seconds * SECOND)
            await self._open_loop.send_paced(Pace(step.rate, at, end))
            at = end


class MixedRun(ConversingRun):
    """Carries out the task `Mixed`, in open loop."""

    def __init__(self, job: Job, task: Mixed, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, task.size, recorder))
        self._task = task
        self._random = random.Random(job.seats[0].account.name)  # noqa: S311 (no secret)
        self._returns = recorder.series("return")
        self._senders: dict[LoadConnection, list[TagSender]] = {}
        for sender in self.conversations.senders.values():
            self._senders.setdefault(sender.device, []).append(sender)

    async def run(self, at: int) -> None:
        await self.recorded(at, self._task.warm_up, self._task.seconds, self._act_all)

    async def _act_all(self) -> None:
        await gather_all(self._act(device, senders) for device, senders in self._senders.items())

    async def _act(self, device: LoadConnection, senders: Sequence[TagSender]) -> None:
        send_rate = self._task.rate / len(self._senders)
        leave_rate = self._task.leaves_per_minute / 60
        while await self._pause(1 / (send_rate + leave_rate)):
            if self._random.random() < leave_rate / (send_rate + leave_rate):
                await self._reconnect(device)
            else:
                self._random.choice(senders).send(time.monotonic_ns())

    async def _pause(self, mean: float) -> bool:
        """Sleep for a random time; False if the load ends before."""
        left = (self.recorder.end - time.monotonic_ns()) / SECOND
        pause = self._random.expovariate(1 / mean)
        await asyncio.sleep(max(0.0, min(pause, left)))
        return pause < left

    async def _reconnect(self, device: LoadConnection) -> None:
        """Wait for all replies, disconnect, pause, log in. Without its reply, a message's result is unknown."""
        deadline = time.monotonic() + _ANSWERED_SECONDS
        while device.pending and time.monotonic() < deadline:  # noqa: ASYNC110 (must cost nothing at a reply)
            await asyncio.sleep(_LOOK_SECONDS)
        await device.disconnect()
        await self._pause(self._task.away)
        began = time.monotonic_ns()
        await device.log_in(self._random.choice(self._task.edges))
        self._returns.record(began, time.monotonic_ns())


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
