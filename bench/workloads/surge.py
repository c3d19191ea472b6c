"""Conversations at one rate after the other, whatever becomes of them."""

import asyncio

from bench.load.pacing import Pace
from bench.load.protocol import Job, Stages
from bench.load.recorder import SECOND, Recorder, until
from bench.load.session import Conversations, ConversationWorkload
from bench.workloads.conversation import Turns


class SurgeRun(ConversationWorkload):
    """The task `Surge`."""

    def __init__(self, job: Job, task: Stages, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, task.size, recorder))
        self._stages = task.stages
        self._turns = Turns(self.floor)

    async def run(self, at: int) -> None:
        recorder = self.floor.recorder
        recorder.open(at, sum(stage.seconds for stage in self._stages))
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: self.floor.counts), name="watch")
        for stage in self._stages:
            end = at + int(stage.seconds * SECOND)
            await self._turns.speak(Pace(stage.rate, at, end))
            at = end
        await watching
