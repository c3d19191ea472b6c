"""Conversations over lasting connections, in open loop (also with steps of the rate) or in closed loops."""

import asyncio
import time
from functools import partial
from itertools import cycle

from bench.load.pacing import Pace
from bench.load.protocol import Job, Surge, Talk
from bench.load.recorder import SECOND, Recorder, until
from bench.load.session import Conversations, ConversingRun, Loop

_SENT_AT_ONCE = 200


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
