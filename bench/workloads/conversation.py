"""Conversations of people who stay: in open loop, or in closed loops."""

import asyncio
import time
from itertools import cycle

from bench.load import protocol
from bench.load.pacing import Pace
from bench.load.recorder import SECOND, Recorder, until
from bench.load.session import Conversations, ConversationWorkload, Loop

_SAID_AT_ONCE = 200


class ConversationRun(ConversationWorkload):
    """The task `Talk`."""

    def __init__(self, protocol: protocol.Job, task: protocol.Talk, recorder: Recorder) -> None:
        super().__init__(protocol, Conversations(protocol, task.size, recorder))
        self._task = task
        self._turns = Turns(self.floor)
        voices = [self.floor.voices[voice.number] for voice in protocol.voices]
        self._loops = [
            Loop([voices[index] for index in loop.voices], loop.window, loop.listeners, self.floor)
            for loop in task.loops
        ]  # fmt: skip

    async def run(self, at: int) -> None:
        """Until the load has ended."""
        task, recorder = self._task, self.floor.recorder
        recorder.open(at + int(task.warm_up * SECOND), task.seconds)
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: self.floor.counts), name="watch")
        for loop in self._loops:
            loop.start()
        if task.rate:
            await self._turns.speak(Pace(task.rate, at, recorder.end))
        await watching


class Turns:
    """Voices that speak one after the other, in open loop."""

    def __init__(self, floor: Conversations) -> None:
        self._lateness = floor.recorder.series("lateness")
        self._turn = cycle(floor.voices.values())

    async def speak(self, pace: Pace) -> None:
        while (due := pace.next) is not None:
            await until(due)
            for number, due in enumerate(pace.take(time.monotonic_ns()), 1):
                self._lateness.record(due, time.monotonic_ns())
                next(self._turn).send(due)
                if number % _SAID_AT_ONCE == 0:  # who is late must still listen
                    await asyncio.sleep(0)
