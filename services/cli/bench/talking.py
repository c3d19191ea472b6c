"""Conversations: every device checks what it hears, every voice goes on when it should."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from itertools import cycle

from services.cli.bench import job, mark
from services.cli.bench.activity import Activity
from services.cli.bench.checker import Ledger, Spoken
from services.cli.bench.line import Line, dial
from services.cli.bench.pace import Pace
from services.cli.bench.recorder import SECOND, Recorder, until
from services.cli.bench.together import together
from services.cli.bench.tongues import TONGUES
from services.cli.bench.tongues.base import Asked, Reply, Said

_AFTER_REFUSAL_SECONDS = 0.05
_SETTLE_SECONDS = 1.2
"""v2 may hold messages back for a second after a login."""


class Device:
    """One seat's connection, and what was said on it without an answer yet: answers come in this order."""

    def __init__(self, seat: job.Seat, floor: "Floor") -> None:
        self.seat = seat
        self.tongue = TONGUES[seat.dialect]
        self.ledger = Ledger(seat.chats, floor.chat_of, floor.recorder.faults)
        self.line: Line | None = None
        self.pending: deque[tuple[Voice, int, int]] = deque()
        self._floor = floor

    async def connect(self) -> None:
        """Raises Trouble."""
        self.line = await dial(self.seat.edge, self.tongue, self)
        await self.line.ask(self.tongue.login(self.seat.person), Asked.LOGIN)

    async def close(self) -> None:
        if self.line is not None:
            await self.line.close()

    # Ears

    def said(self, said: Said, now: int) -> None:
        floor, found = self._floor, said.mark
        if found.run != floor.run:
            return
        voice = floor.voices.get(found.voice)
        if voice is not None and voice.device is self:
            self._echoed(voice, found.number, now)
        elif self.ledger.hear(found, said.position):
            floor.delivered += 1
            floor.deliveries.record(found.due, now)
            if voice is not None and voice.loop is not None:
                voice.loop.arrived()

    def answered(self, reply: Reply, now: int) -> None:
        if not self.pending:
            self._floor.recorder.faults.answered_wrongly += 1
            return
        voice, number, due = self.pending.popleft()
        if reply.refusal:
            self._floor.refuse(voice, number, reply.refusal)
        else:
            self._floor.acknowledge(due, now)

    def ended(self) -> None:
        self.line = None
        self._floor.recorder.faults.closed += 1

    def _echoed(self, voice: "Voice", number: int, now: int) -> None:
        oldest = self.pending[0] if self.pending else None
        if oldest is None or oldest[:2] != (voice, number):
            self._floor.recorder.faults.answered_wrongly += 1
            return
        self.pending.popleft()
        self._floor.acknowledge(oldest[2], now)


class Voice:
    """A device in one of its chats."""

    __slots__ = ("_floor", "_head", "_tail", "device", "listeners", "loop", "number", "refused", "sent")

    def __init__(self, voice: job.Voice, device: Device, floor: "Floor") -> None:
        self.number = voice.number
        self.device = device
        self.listeners = voice.listeners
        self.loop: Loop | None = None
        self.sent = 0
        self.refused: set[int] = set()
        self._floor = floor
        self._head, self._tail = device.tongue.around(device.seat.person, voice.chat)

    def say(self, due: int) -> None:
        """Nothing, without a line."""
        device, floor = self.device, self._floor
        if device.line is None:
            return
        self.sent += 1
        floor.sent += 1
        floor.expected += self.listeners
        device.pending.append((self, self.sent, due))
        device.line.send(self._head + mark.write(floor.run, self.number, self.sent, due) + floor.padding + self._tail)


class Loop:
    """Keeps so many messages of its voices under way."""

    def __init__(self, voices: list[Voice], window: int, listeners: int, floor: "Floor") -> None:
        self._turn: Iterator[Voice] = cycle(voices)
        self._window = window
        self._listeners = listeners
        self._floor = floor
        self._arrivals = 0
        for voice in voices:
            voice.loop = self

    def start(self) -> None:
        for _ in range(self._window):
            self.next()

    def arrived(self) -> None:
        self._arrivals += 1
        if self._arrivals % self._listeners == 0:
            self.next()

    def next(self) -> None:
        now = time.monotonic_ns()
        if now < self._floor.recorder.end:
            next(self._turn).say(now)


class Floor:
    """What the devices of this process share. `padding` fills a text up to its size."""

    def __init__(self, job: job.Job, size: int, recorder: Recorder) -> None:
        self.run = job.run
        self.chat_of = job.chat_of
        self.recorder = recorder
        self.padding = b"x" * (size - mark.SIZE)
        self.deliveries = recorder.series("delivery")
        self.sent = self.expected = self.delivered = self.acknowledged = self.refused = 0
        self.devices = [Device(seat, self) for seat in job.seats]
        self.voices = {voice.number: Voice(voice, self.devices[voice.seat], self) for voice in job.voices}
        self._acknowledgements = recorder.series("acknowledgement")

    def acknowledge(self, due: int, now: int) -> None:
        self.acknowledged += 1
        self._acknowledgements.record(due, now)

    def refuse(self, voice: Voice, number: int, reason: str) -> None:
        """A closed loop goes on a moment later, or it would only be refused again."""
        voice.refused.add(number)
        self.refused += 1
        self.expected -= voice.listeners
        self.recorder.refused(reason)
        if voice.loop is not None:
            asyncio.get_running_loop().call_later(_AFTER_REFUSAL_SECONDS, voice.loop.next)

    @property
    def counts(self) -> dict[str, int]:
        return {
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "delivered": self.delivered,
            "refused": self.refused,
        }

    @property
    def progress(self) -> job.Progress:
        waiting = self.sent - self.acknowledged - self.refused
        return job.Progress(self.delivered, self.expected, self.delivered, waiting)

    @property
    def spoken(self) -> Spoken:
        voices = self.voices.values()
        return Spoken(
            {voice.number: voice.sent for voice in voices},
            {voice.number: voice.refused for voice in voices if voice.refused},
        )

    def settle(self, spoken: Spoken) -> None:
        """The books of all processes: what is missing here?"""
        faults = self.recorder.faults
        voices_of: dict[int, list[int]] = {}
        for voice, chat in self.chat_of.items():
            voices_of.setdefault(chat, []).append(voice)
        for device in self.devices:
            others = [
                voice
                for chat in device.seat.chats
                for voice in voices_of.get(chat, ())
                if (known := self.voices.get(voice)) is None or known.device is not device
            ]
            faults.lost += device.ledger.lost(others, spoken)
            faults.unanswered += len(device.pending)

    async def close(self) -> None:
        await asyncio.gather(*(device.close() for device in self.devices))


class Talking(Activity):
    """The task `Talk`."""

    def __init__(self, job: job.Job, task: job.Talk, recorder: Recorder) -> None:
        self.floor = Floor(job, task.size, recorder)
        self._task = task
        self._at_once = asyncio.Semaphore(job.at_once)
        self._lateness = recorder.series("lateness")
        voices = [self.floor.voices[voice.number] for voice in job.voices]
        self._turn = cycle(voices) if voices else None
        self._loops = [
            Loop([voices[index] for index in loop.voices], loop.window, loop.listeners, self.floor)
            for loop in task.loops
        ]  # fmt: skip

    async def connect(self) -> None:
        await together(map(self._connect, self.floor.devices))
        await asyncio.sleep(_SETTLE_SECONDS)

    async def _connect(self, device: Device) -> None:
        async with self._at_once:
            await device.connect()

    async def run(self, at: int) -> None:
        """Until the load has ended."""
        task, recorder = self._task, self.floor.recorder
        recorder.open(at + int(task.warm_up * SECOND), task.seconds)
        await until(at)
        watching = asyncio.create_task(recorder.watch(lambda: self.floor.counts), name="watch")
        for loop in self._loops:
            loop.start()
        if task.rate:
            await self._speak(Pace(task.rate, at, recorder.end))
        await watching

    async def _speak(self, pace: Pace) -> None:
        assert self._turn is not None
        while (due := pace.next) is not None:
            await until(due)
            for due in pace.take(time.monotonic_ns()):
                self._lateness.record(due, time.monotonic_ns())
                next(self._turn).say(due)

    @property
    def progress(self) -> job.Progress:
        return self.floor.progress

    @property
    def spoken(self) -> Spoken:
        return self.floor.spoken

    def settle(self, spoken: Spoken) -> None:
        self.floor.settle(spoken)

    async def close(self) -> None:
        await self.floor.close()
