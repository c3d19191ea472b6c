"""People whose edge dies under them, and who all want to be back at once."""

import asyncio
import time
from itertools import cycle

from bench.load.gather import gather_all
from bench.load.message_tag import SIZE
from bench.load.protocol import Job, Reconnect
from bench.load.recorder import Recorder, until
from bench.load.session import Conversations, ConversationWorkload, LoadConnection
from clients.errors import ClientError

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
_LOOK_SECONDS = 0.01


class ReconnectRun(ConversationWorkload):
    """The task `Return`. Spans begin when the first line of this process fell: `login` ends with the login, `back` with
    the message that was said meanwhile."""

    def __init__(self, job: Job, task: Reconnect, recorder: Recorder) -> None:
        super().__init__(job, Conversations(job, SIZE, recorder))
        self._task = task
        self._speakers = list(self.floor.voices.values())
        speaking = [voice.device for voice in self._speakers]
        self._people = [device for device in self.floor.devices if device not in speaking]
        self._logins, self._backs = recorder.series("login"), recorder.series("back")
        self._fell = 0
        self.floor.falls_are_expected = True

    async def run(self, at: int) -> None:
        recorder = self.floor.recorder
        await until(at)
        recorder.open(at, self._task.seconds)
        if self._task.cuts:
            for device in self._people:
                if device.connection is not None:
                    device.connection.abort()
        try:
            with recorder.working():
                async with asyncio.timeout(self._task.seconds):
                    await gather_all([self._speak(), *(self._return(number) for number in range(len(self._people)))])
        except TimeoutError:
            recorder.rejected(f"not back within {self._task.seconds:g} s")

    async def _speak(self) -> None:
        await asyncio.gather(*(device.fell.wait() for device in self._people))
        for voice in self._speakers:
            voice.send(time.monotonic_ns())

    async def _return(self, number: int) -> None:
        device = self._people[number]
        await device.fell.wait()
        self._fell = self._fell or time.monotonic_ns()
        await self._enter(device, number)
        self._logins.record(self._fell, device.logged_in)
        while device.ledger.is_empty:  # noqa: ASYNC110 (must cost nothing when a message comes)
            await asyncio.sleep(_LOOK_SECONDS)
        self._backs.record(self._fell, time.monotonic_ns())

    async def _enter(self, device: LoadConnection, number: int) -> None:
        """At one edge after the other, that which fell last, with growing pauses, as a good client does."""
        *others, fallen = self._task.edges
        first = number % max(1, len(others))
        pause = _FIRST_PAUSE_SECONDS
        for edge in cycle([*others[first:], *others[:first], fallen]):
            try:
                return await device.enter(edge)
            except ClientError as error:
                self.floor.recorder.rejected(str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
