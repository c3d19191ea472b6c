"""A realistic mix: users that send at random times, disconnect and reconnect."""

import asyncio
import random
import time
from collections.abc import Sequence

from bench.load.protocol import Job, Mixed
from bench.load.recorder import SECOND, Recorder
from bench.load.run import gather_all
from bench.load.session import Conversations, ConversingRun, LoadConnection, TagSender

_ANSWERED_SECONDS = 10.0
_LOOK_SECONDS = 0.02


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
