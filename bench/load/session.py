"""Where people talk: every device checks what it hears, every voice goes on when it should."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

from bench.load import message_tag, protocol
from bench.load.dialects import BY_NAME, TaggedMessage, decoder, tagged
from bench.load.gather import gather_all
from bench.load.recorder import Recorder
from bench.load.verifier import Inbox, SentCounts
from bench.load.workload import Workload
from clients.aio import AsyncConnection, connect
from clients.codec.events import ServerReply
from clients.errors import ClientError

_AFTER_REFUSAL_SECONDS = 0.05
_SETTLE_SECONDS = 1.2
"""v2 may hold messages back for a second after a login."""


class LoadConnection:
    """One seat's connection, and what was said on it without an answer yet: answers come in this order. It may leave
    and come again: what is heard is checked over all its connections."""

    def __init__(self, seat: protocol.Seat, floor: "Conversations") -> None:
        self.seat = seat
        self.codec = BY_NAME[seat.dialect]
        self.ledger = Inbox(seat.chats, floor.chat_of, floor.recorder.faults)
        self.connection: AsyncConnection | None = None
        self.pending: deque[tuple[TagSender, int, int]] = deque()
        self.fell = asyncio.Event()
        """The server has ended the connection."""
        self.logged_in = 0
        """When the last login was answered, in nanoseconds of the monotonic clock."""
        self._floor = floor
        self._entered = 0
        self._catching_up = False

    async def enter(self, edge: str) -> None:
        """Log in, and request the missed messages where they are not pushed. Raises ClientError."""
        known = {chat: self.ledger.position(chat) for chat in self.seat.chats}
        connection = await connect(edge, self.codec, self, decoder(self.codec))
        self._entered = time.monotonic_ns()
        self._catching_up = not self.codec.pushes_missed
        try:
            await connection.request(self.codec.login(self.seat.account))
            self.logged_in = time.monotonic_ns()
            self.connection = connection
            if self._catching_up:
                await self._catch_up(connection, known)
        except ClientError:
            await connection.close()
            raise

    async def leave(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            await connection.close()

    async def _catch_up(self, connection: AsyncConnection, known: Mapping[int, int]) -> None:
        """From the positions that were known before: what is told unasked may come ahead of what was missed. Until all
        is there, no order is expected."""
        for chat, after in known.items():
            while messages := await self._missed(connection, chat, after):
                for message in messages:
                    self._read(message)
                after = messages[-1].position
        self._catching_up = False

    async def _missed(self, connection: AsyncConnection, chat: int, after: int) -> Sequence[TaggedMessage]:
        *first, last = self.codec.missed(self.seat.account, chat, after)
        for request in first:
            connection.send(request.frame)
        page = (await connection.request(last)).messages
        return [message for one in page if (message := tagged(one)) is not None]

    # clients.aio.Listener

    def received(self, event: object, now: int) -> None:
        if type(event) is not TaggedMessage:
            return
        floor, found = self._floor, event.tag
        if found.run != floor.run:
            return
        voice = floor.voices.get(found.voice)
        if voice is not None and voice.device is self:
            self._echoed(voice, found.number, now)
        elif self._catching_up:
            self._read(event)
        elif self.ledger.receive(found, event.position):
            floor.delivered += 1
            if found.due >= self._entered:
                floor.deliveries.record(found.due, now)
            if voice is not None and voice.loop is not None:
                voice.loop.arrived()

    def replied(self, reply: ServerReply, now: int) -> None:
        if not self.pending:
            self._floor.recorder.faults.answered_wrongly += 1
            return
        voice, number, due = self.pending.popleft()
        if reply.error:
            self._floor.reject(voice, number, reply.error)
            self._floor.refusals.record(due, now)
        else:
            self._floor.acknowledge(due, now)

    def ended(self) -> None:
        self.connection = None
        self.fell.set()
        self._floor.recorder.faults.closed += not self._floor.falls_are_expected

    def _echoed(self, voice: "TagSender", number: int, now: int) -> None:
        oldest = self.pending[0] if self.pending else None
        if oldest is None or oldest[:2] != (voice, number):
            self._floor.recorder.faults.answered_wrongly += 1
            return
        self.pending.popleft()
        self._floor.acknowledge(oldest[2], now)

    def _read(self, message: TaggedMessage) -> None:
        voice = self._floor.voices.get(message.tag.voice)
        own = voice is not None and voice.device is self
        if not own and self.ledger.read(message.tag, message.position):
            self._floor.delivered += 1


class TagSender:
    """A device in one of its chats."""

    __slots__ = ("_floor", "_head", "_tail", "device", "listeners", "loop", "number", "refused", "sent")

    def __init__(self, voice: protocol.SenderPlan, device: LoadConnection, floor: "Conversations") -> None:
        self.number = voice.number
        self.device = device
        self.listeners = voice.listeners
        self.loop: Loop | None = None
        self.sent = 0
        self.refused: set[int] = set()
        self._floor = floor
        self._head, self._tail = device.codec.message_parts(device.seat.account, voice.chat)

    def send(self, due: int) -> None:
        """Nothing, without a connection."""
        device, floor = self.device, self._floor
        if device.connection is None:
            return
        self.sent += 1
        floor.sent += 1
        floor.expected += self.listeners
        device.pending.append((self, self.sent, due))
        device.connection.send(
            self._head + message_tag.write(floor.run, self.number, self.sent, due) + floor.padding + self._tail
        )


class Loop:
    """Keeps so many messages of its voices under way."""

    def __init__(self, voices: list[TagSender], window: int, listeners: int, floor: "Conversations") -> None:
        self._turn: Iterator[TagSender] = cycle(voices)
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
            next(self._turn).send(now)


class Conversations:
    """What the devices of this process share. `padding` fills a text up to its size."""

    def __init__(self, protocol: protocol.Job, size: int, recorder: Recorder) -> None:
        self.run = protocol.run
        self.chat_of = protocol.chat_of
        self.falls_are_expected = False
        self.recorder = recorder
        self.padding = b"x" * (size - message_tag.SIZE)
        self.deliveries = recorder.series("delivery")
        self.refusals = recorder.series("refusal")
        self.sent = self.expected = self.delivered = self.acknowledged = self.refused = 0
        self.devices = [LoadConnection(seat, self) for seat in protocol.seats]
        self.voices = {voice.number: TagSender(voice, self.devices[voice.seat], self) for voice in protocol.voices}
        self._acknowledgements = recorder.series("acknowledgement")

    def acknowledge(self, due: int, now: int) -> None:
        self.acknowledged += 1
        self._acknowledgements.record(due, now)

    def reject(self, voice: TagSender, number: int, reason: str) -> None:
        """A closed loop goes on a moment later, or it would only be refused again."""
        voice.refused.add(number)
        self.refused += 1
        self.expected -= voice.listeners
        self.recorder.rejected(reason)
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
    def progress(self) -> protocol.Progress:
        waiting = self.sent - self.acknowledged - self.refused
        return protocol.Progress(self.delivered, self.expected, self.delivered, waiting)

    @property
    def sent_counts(self) -> SentCounts:
        voices = self.voices.values()
        return SentCounts(
            {voice.number: voice.sent for voice in voices},
            {voice.number: voice.refused for voice in voices if voice.refused},
        )

    def reconcile(self, spoken: SentCounts) -> None:
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

    async def open(self, at_once: int) -> None:
        """Connect all devices, so many at a time. Raises ClientError."""
        slots = asyncio.Semaphore(at_once)

        async def enter(device: LoadConnection) -> None:
            async with slots:
                await device.enter(device.seat.edge)

        await gather_all(map(enter, self.devices))
        await asyncio.sleep(_SETTLE_SECONDS)

    async def close(self) -> None:
        await asyncio.gather(*(device.leave() for device in self.devices))


class ConversationWorkload(Workload):
    """An activity of people who talk. What they do in `run` is each one's own."""

    def __init__(self, protocol: protocol.Job, floor: Conversations) -> None:
        self.floor = floor
        self._at_once = protocol.at_once

    async def connect(self) -> None:
        await self.floor.open(self._at_once)

    @property
    def progress(self) -> protocol.Progress:
        return self.floor.progress

    @property
    def sent_counts(self) -> SentCounts:
        return self.floor.sent_counts

    def reconcile(self, spoken: SentCounts) -> None:
        self.floor.reconcile(spoken)

    async def close(self) -> None:
        await self.floor.close()
