"""A day in short: people who speak when they feel like it, leave, and come back."""

import asyncio
import random
import time
from collections.abc import Sequence

from bench.load.gather import gather_all
from bench.load.protocol import Job, Mixed
from bench.load.recorder import SECOND, Recorder, until
from bench.load.session import Conversations, ConversationWorkload, LoadConnection, TagSender

_ANSWERED_SECONDS = 10.0
_LOOK_SECONDS = 0.02


class MixedRun(ConversationWorkload):
    """The task `Live`. In open loop: nobody waits for anybody before speaking."""

    def __init__(self, job: Job, task: Mixed, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, task.size, recorder))
        self._task = task
        self._random = random.Random(job.seats[0].account.name)  # noqa: S311 (no secret)
        self._returns = recorder.series("return")
        self._voices: dict[LoadConnection, list[TagSender]] = {}
        for voice in self.floor.voices.values():
            self._voices.setdefault(voice.device, []).append(voice)

    async def run(self, at: int) -> None:
        task, recorder = self._task, self.floor.recorder
        recorder.open(at + int(task.warm_up * SECOND), task.seconds)
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: self.floor.counts), name="watch")
        await gather_all(self._live(device, voices) for device, voices in self._voices.items())
        await watching

    async def _live(self, device: LoadConnection, voices: Sequence[TagSender]) -> None:
        speaks = self._task.rate / len(self._voices)
        leaves = self._task.leaves_per_minute / 60
        while await self._pause(1 / (speaks + leaves)):
            if self._random.random() < leaves / (speaks + leaves):
                await self._go_and_return(device)
            else:
                self._random.choice(voices).send(time.monotonic_ns())

    async def _pause(self, mean: float) -> bool:
        """Whether there is still time afterwards."""
        left = (self.floor.recorder.end - time.monotonic_ns()) / SECOND
        pause = self._random.expovariate(1 / mean)
        await asyncio.sleep(max(0.0, min(pause, left)))
        return pause < left

    async def _go_and_return(self, device: LoadConnection) -> None:
        """In order, with all answers: who leaves without one does not know what became of the message."""
        deadline = time.monotonic() + _ANSWERED_SECONDS
        while device.pending and time.monotonic() < deadline:  # noqa: ASYNC110 (must cost nothing at an answer)
            await asyncio.sleep(_LOOK_SECONDS)
        await device.leave()
        await self._pause(self._task.away)
        began = time.monotonic_ns()
        await device.enter(self._random.choice(self._task.edges))
        self._returns.record(began, time.monotonic_ns())
