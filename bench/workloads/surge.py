"""Open-loop conversations at the rates of several stages."""

import asyncio

from bench.load.pacing import Pace
from bench.load.protocol import Job, Stages
from bench.load.recorder import SECOND, Recorder, until
from bench.load.session import Conversations, ConversationWorkload
from bench.workloads.conversation import OpenLoop


class SurgeRun(ConversationWorkload):
    """Carries out the task `Stages`."""

    def __init__(self, job: Job, task: Stages, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, task.size, recorder))
        self._stages = task.stages
        self._open_loop = OpenLoop(self.conversations)

    async def run(self, at: int) -> None:
        recorder = self.conversations.recorder
        recorder.open(at, sum(stage.seconds for stage in self._stages))
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: self.conversations.counts), name="watch")
        for stage in self._stages:
            end = at + int(stage.seconds * SECOND)
            await self._open_loop.send_paced(Pace(stage.rate, at, end))
            at = end
        await watching
