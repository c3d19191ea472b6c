"""The runs of tasks in which users send messages. They send at a rate, in closed loops or in steps, and some lose their
connections."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle

from bench.load import message_tag, protocol
from bench.load.dialects import CODECS, TaggedMessage, decoder, tagged
from bench.load.message_tag import SIZE
from bench.load.pacing import Pace
from bench.load.protocol import Job, Reconnect, Talk
from bench.load.recorder import SECOND, Recorder, until
from bench.load.run import TaskRun, gather_all
from bench.load.verifier import Inbox, SentCounts
from dragoman_client.aio import AsyncConnection, connect
from dragoman_client.codec.events import ReplyKind, ServerReply
from dragoman_client.errors import ClientError
from shared.tasks import growing_pauses

_RETRY_SECONDS = 0.05
_READ_SECONDS = 3.0
"""The seconds after which a received message is marked as read. For dialects without `read`, edges do this."""
_SETTLE_SECONDS = 1.2
"""The time for which ourchat-v2 may hold messages back after a login."""


class LoadConnection:
    """The client of one seat, with its messages that have no reply. Replies arrive in the order of sending. The seat
    may reconnect, and received messages are verified across all its connections."""

    def __init__(self, seat: protocol.Seat, run: "ConversingRun") -> None:
        self.seat = seat
        self.codec = CODECS[seat.dialect]
        self.inbox = Inbox(seat.chats, run.chat_of, run.recorder.faults)
        self.connection: AsyncConnection | None = None
        self.pending: deque[tuple[TagSender, int, int]] = deque()
        self.dropped = asyncio.Event()
        """Set when the server has ended the connection."""
        self.logged_in = 0
        """The time of the last login reply, in nanoseconds of the monotonic clock."""
        self._run = run
        self._connected_at = 0
        self._catching_up = False
        self._unread: set[int] = set()
        """The chats with received messages that are soon marked as read."""

    async def log_in(self, edge: str) -> None:
        """Log in, and request missed messages if the dialect does not push them. Raises ClientError."""
        known = {chat: self.inbox.position(chat) for chat in self.seat.chats}
        connection = await connect(edge, self.codec, self, decoder(self.codec))
        self._connected_at = time.monotonic_ns()
        self._catching_up = not self.codec.pushes_missed
        try:
            await connection.request(self.codec.login(self.seat.account))
            self.logged_in = time.monotonic_ns()
            self.connection = connection
            if self._catching_up:
                await self._catch_up(connection, known)
        except ClientError:
            self.connection = None
            await connection.close()
            raise

    async def disconnect(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            await connection.close()

    async def _catch_up(self, connection: AsyncConnection, known: Mapping[int, int]) -> None:
        """Request the missed messages after the `known` positions. Pushed messages may arrive before missed ones, so
        the order is checked only when all are received."""
        for chat, after in known.items():
            while messages := await self._missed(connection, chat, after):
                for message in messages:
                    self._receive_missed(message)
                after = messages[-1].position
        self._catching_up = False

    async def _missed(self, connection: AsyncConnection, chat: int, after: int) -> Sequence[TaggedMessage]:
        *first, last = self.codec.missed(self.seat.account, chat, after)
        for request in first:
            connection.send(request.frame)
        page = (await connection.request(last)).messages
        return [message for one in page if (message := tagged(one)) is not None]

    # dragoman_client.aio.Listener

    def received(self, event: object, now: int) -> None:
        if type(event) is not TaggedMessage:
            return
        run, tag = self._run, event.tag
        if tag.run != run.number:
            return
        sender = run.senders.get(tag.sender)
        if sender is not None and sender.device is self:
            self._echoed(sender, tag.number, now)
        elif self._catching_up:
            self._receive_missed(event)
        elif self.inbox.receive(tag, event.position):
            run.delivered += 1
            if tag.due >= self._connected_at:
                run.deliveries.record(tag.due, now)
            if self.codec.marks_read:
                self._mark_read_soon(run.chat_of[tag.sender])
            if sender is not None and sender.loop is not None:
                sender.loop.arrived()

    def replied(self, reply: ServerReply, now: int) -> None:
        # After it has rejected a request, the server closes the connection. It does not read the requests that follow.
        if self.connection is None:
            return
        if self.codec.marks_read and reply.to is not ReplyKind.MESSAGE:
            self._run.recorder.faults.answered_wrongly += bool(reply.error)
            return
        # While a client catches up, its request for missed messages may get an error.
        if not self.pending:
            self._run.recorder.faults.answered_wrongly += not self._catching_up
            return
        sender, number, due = self.pending.popleft()
        if reply.error:
            self._run.reject(sender, number, reply.error)
            self._run.rejections.record(due, now)
        else:
            self._run.acknowledge(due, now)

    def ended(self) -> None:
        self.connection = None
        self.dropped.set()
        self._run.recorder.faults.closed += not self._run.drops_expected

    def _echoed(self, sender: "TagSender", number: int, now: int) -> None:
        oldest = self.pending[0] if self.pending else None
        if oldest is None or oldest[:2] != (sender, number):
            self._run.recorder.faults.answered_wrongly += 1
            return
        self.pending.popleft()
        self._run.acknowledge(oldest[2], now)

    def _mark_read_soon(self, chat: int) -> None:
        if not self._unread:
            asyncio.get_running_loop().call_later(_READ_SECONDS, self._mark_read)
        self._unread.add(chat)

    def _mark_read(self) -> None:
        unread, self._unread = self._unread, set()
        if self.connection is not None and not self._catching_up:
            for chat in unread:
                self.connection.send(self.codec.read(chat, self.inbox.position(chat), counts=False).frame)

    def _receive_missed(self, message: TaggedMessage) -> None:
        sender = self._run.senders.get(message.tag.sender)
        own = sender is not None and sender.device is self
        if not own and self.inbox.read(message.tag, message.position):
            self._run.delivered += 1


class TagSender:
    """Sends tagged messages over one connection to one of its chats."""

    __slots__ = ("_run", "_write", "device", "listeners", "loop", "number", "rejected", "sent")

    def __init__(self, sender: protocol.SenderPlan, device: LoadConnection, run: "ConversingRun") -> None:
        self.number = sender.number
        self.device = device
        self.listeners = sender.listeners
        self.loop: Loop | None = None
        self.sent = 0
        self.rejected: set[int] = set()
        self._run = run
        self._write = device.codec.message_writer(device.seat.account, sender.chat)

    def send(self, due: int) -> None:
        """Send the next message. Without a connection, this does nothing."""
        device, run = self.device, self._run
        if device.connection is None:
            return
        self.sent += 1
        run.sent += 1
        run.expected += self.listeners
        device.pending.append((self, self.sent, due))
        tag = message_tag.write(run.number, self.number, self.sent, due)
        device.connection.send(self._write(tag + run.padding))


class Loop:
    """A closed loop. It keeps `window` messages of its senders in flight."""

    def __init__(self, senders: list[TagSender], window: int, listeners: int, run: "ConversingRun") -> None:
        self._next_sender: Iterator[TagSender] = cycle(senders)
        self._window = window
        self._listeners = listeners
        self._run = run
        self._arrivals = 0
        for sender in senders:
            sender.loop = self

    def start(self) -> None:
        for _ in range(self._window):
            self.next()

    def arrived(self) -> None:
        self._arrivals += 1
        if self._arrivals % self._listeners == 0:
            self.next()

    def next(self) -> None:
        now = time.monotonic_ns()
        if now < self._run.recorder.end:
            next(self._next_sender).send(now)


class ConversingRun(TaskRun):
    """A run whose connections send and receive messages. It has the connections, senders and counters of this process.
    `padding` fills a text up to `size` bytes."""

    def __init__(self, job: protocol.Job, size: int, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.number = job.run
        self.chat_of = job.chat_of
        self.drops_expected = False
        self.padding = b"x" * (size - message_tag.SIZE)
        self.deliveries = recorder.series("delivery")
        self.rejections = recorder.series("refusal")
        self.sent = self.expected = self.delivered = self.acknowledged = self.rejected = 0
        self.devices = [LoadConnection(seat, self) for seat in job.seats]
        self.senders = {sender.number: TagSender(sender, self.devices[sender.seat], self) for sender in job.senders}
        self._acknowledgements = recorder.series("acknowledgement")
        self._at_once = job.at_once

    def acknowledge(self, due: int, now: int) -> None:
        self.acknowledged += 1
        self._acknowledgements.record(due, now)

    def reject(self, sender: TagSender, number: int, reason: str) -> None:
        """Count a rejected message. A closed loop pauses before its next message, because that message would be
        rejected, too, if it was sent at once."""
        sender.rejected.add(number)
        self.rejected += 1
        self.expected -= sender.listeners
        self.recorder.rejected(reason)
        if sender.loop is not None:
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, sender.loop.next)

    @property
    def counts(self) -> dict[str, int]:
        return {
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "delivered": self.delivered,
            "refused": self.rejected,
        }

    @property
    def progress(self) -> protocol.Progress:
        waiting = self.sent - self.acknowledged - self.rejected
        return protocol.Progress(self.delivered, self.expected, self.delivered, waiting)

    @property
    def sent_counts(self) -> SentCounts:
        senders = self.senders.values()
        return SentCounts(
            {sender.number: sender.sent for sender in senders},
            {sender.number: sender.rejected for sender in senders if sender.rejected},
        )

    def reconcile(self, sent_counts: SentCounts) -> None:
        """Count messages that did not arrive here although another process has sent them, and messages without a
        reply."""
        faults = self.recorder.faults
        senders_of: dict[int, list[int]] = {}
        for sender, chat in self.chat_of.items():
            senders_of.setdefault(chat, []).append(sender)
        for device in self.devices:
            others = [
                sender
                for chat in device.seat.chats
                for sender in senders_of.get(chat, ())
                if (known := self.senders.get(sender)) is None or known.device is not device
            ]
            faults.lost += device.inbox.lost(others, sent_counts)
            faults.unanswered += len(device.pending)

    async def connect(self) -> None:
        slots = asyncio.Semaphore(self._at_once)

        async def log_in(device: LoadConnection) -> None:
            async with slots:
                await device.log_in(device.seat.edge)

        await gather_all(map(log_in, self.devices))
        await asyncio.sleep(_SETTLE_SECONDS)

    async def close(self) -> None:
        await asyncio.gather(*(device.disconnect() for device in self.devices))


_SENT_AT_ONCE = 200
_LOOK_SECONDS = 0.01
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0


class ConversationRun(ConversingRun):
    """Does the task `Talk`."""

    def __init__(self, job: Job, task: Talk, recorder: Recorder) -> None:
        super().__init__(job, task.size, recorder)
        self._task = task
        senders = [self.senders[plan.number] for plan in job.senders]
        self._loops = [
            Loop([senders[index] for index in loop.senders], loop.window, loop.listeners, self) for loop in task.loops
        ]
        self._lateness = recorder.series("lateness")
        self._next_sender = cycle(senders)

    async def run(self, at: int) -> None:
        await self.recorded(at, self._task.warm_up, self._task.seconds, partial(self._send, at))

    async def _send(self, at: int) -> None:
        for loop in self._loops:
            loop.start()
        for step in self._task.steps:
            end = at + int(step.seconds * SECOND)
            await self._send_paced(Pace(step.rate, at, end))
            at = end

    async def _send_paced(self, pace: Pace) -> None:
        """All senders send in turn."""
        while (due := pace.next) is not None:
            await until(due)
            for number, due in enumerate(pace.pop_due(time.monotonic_ns()), 1):
                self._lateness.record(due, time.monotonic_ns())
                next(self._next_sender).send(due)
                # if the senders are late, they must still leave the clients time to receive
                if number % _SENT_AT_ONCE == 0:
                    await asyncio.sleep(0)


class ReconnectRun(ConversingRun):
    """Does the task `Reconnect`. Latencies count from the first lost connection of this process. `login` ends with the
    reply to a login, and `back` with the arrival of the missed message."""

    def __init__(self, job: Job, task: Reconnect, recorder: Recorder) -> None:
        super().__init__(job, SIZE, recorder)
        self._task = task
        self._senders = list(self.senders.values())
        sending = [sender.device for sender in self._senders]
        self._dropped = [device for device in self.devices if device not in sending]
        self._logins, self._backs = recorder.series("login"), recorder.series("back")
        self._dropped_at = 0
        self.drops_expected = True

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
        """Send messages until one is acknowledged. Clients that have received a message are connected again."""
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
        """Try the edges in turn, the failed edge last. The pauses between the attempts grow."""
        *others, fallen = self._task.edges
        first = number % max(1, len(others))
        pauses = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        for edge in cycle([*others[first:], *others[:first], fallen]):
            try:
                return await device.log_in(edge)
            except ClientError as error:
                self.recorder.rejected(str(error))
            await asyncio.sleep(next(pauses))
