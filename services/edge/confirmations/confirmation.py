"""Delivery confirmation for one connection. Each pong of the client confirms the messages that were pushed before the
ping that it answers."""

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable

from services.edge.canonical.transport import Socket
from services.edge.confirmations.read_state import Ranges, add_span
from shared.contract.ids import ChatId
from shared.contract.model import Message
from shared.settings.edge import EdgeSettings

_SETTLE_SECONDS = 0.8
_ARRIVAL_SECONDS = 10.0
_FEW_PINGS = 500
_SLACK = 1.5
"""By this factor, more pings are allowed than are needed on average, so that even the last connections get their
turn."""


def confirms_per_tick(connections: int, tick_seconds: float, settings: EdgeSettings) -> int:
    """The number of connections that may be pinged because of pushes, each time that the timers of all connections run.
    After a message to a very large group, all its connections are due at once. Without this limit, their pings and
    pongs would delay the next message."""
    interval = max(tick_seconds, settings.confirm_interval_seconds)
    return max(_FEW_PINGS, int(connections * tick_seconds / interval * _SLACK))


class _PushedRun:
    """The pushes of consecutive messages of one chat."""

    __slots__ = ("chat", "high", "low")

    def __init__(self, chat: ChatId, low: int, high: int) -> None:
        self.chat = chat
        self.low = low
        self.high = high


class UnconfirmedPushes:
    """The pushed messages of one connection that are not confirmed yet. The position of a message is the number of
    bytes that were sent up to its end. Times are seconds on one clock.

    There is no object per message. Tens of thousands of messages are unconfirmed at a time, and so many objects would
    displace the data of the next message from the CPU's cache.
    """

    __slots__ = ("_chat", "_high", "_low", "_older", "_pinged", "_positions", "_times")

    def __init__(self) -> None:
        self._older: list[_PushedRun] = []
        """The runs before the last run, in order. A run is a series of pushes with consecutive indexes."""
        self._chat = ChatId(0)
        self._low, self._high = 1, 0
        """The first and last index of the last run. They are fields of this object, so that a push needs one object
        less. The run is empty if no push is unconfirmed."""
        self._positions = array("q")
        """The position of each push."""
        self._times = array("d")
        """The time of each push, if pushes are timed."""
        self._pinged = 0
        """The number of unconfirmed messages that were pushed before the ping."""

    def __bool__(self) -> bool:
        return len(self._positions) > 0

    def pushed(self, chat: ChatId, index: int, position: int) -> None:
        if index != self._high + 1 or chat != self._chat:
            if self._low <= self._high:
                self._older.append(_PushedRun(self._chat, self._low, self._high))
            self._chat, self._low = chat, index
        self._high = index
        self._positions.append(position)

    def timed(self, now: float) -> None:
        """Note the time of the last push. On one connection, either all pushes are timed, or none is."""
        self._times.append(now)

    def contains(self, chat: ChatId, index: int) -> bool:
        if self._chat == chat and self._low <= index <= self._high:
            return True
        return any(run.chat == chat and run.low <= index <= run.high for run in self._older)

    def pinged(self) -> None:
        """Note that a ping was sent. Its pong will confirm everything that was pushed before."""
        self._pinged = len(self._positions)

    def ponged(self) -> Ranges:
        """Return the ranges that the pong confirms."""
        return self._confirm(self._pinged)

    def arrived(self, position: int) -> Ranges:
        """Return the ranges that are confirmed when `position` bytes have arrived."""
        return self._confirm(bisect_right(self._positions, position))

    def ended(self, position: int, until: float | None) -> Ranges:
        """Return the ranges that are confirmed at the end of the connection, when `position` bytes have arrived.
        `until`: the time after which the client has handled no push. All other messages stay undelivered."""
        count = bisect_right(self._positions, position)
        if until is not None:
            count = bisect_right(self._times, until, hi=count)
        confirmed = self._confirm(count)
        self._low = self._high + 1
        del self._older[:], self._positions[:], self._times[:]
        return confirmed

    def _confirm(self, count: int) -> Ranges:
        """Confirm the first `count` pushes."""
        ranges: Ranges = {}
        left, complete = count, 0
        for run in self._older:
            if left == 0:
                break
            taken = min(left, run.high - run.low + 1)
            add_span(ranges, run.chat, run.low, run.low + taken - 1)
            run.low += taken
            left -= taken
            complete += run.low > run.high
        if left:
            add_span(ranges, self._chat, self._low, self._low + left - 1)
            self._low += left
        del self._older[:complete], self._positions[:count], self._times[:count]
        self._pinged = 0
        return ranges


class DeliveryConfirmation:
    """Confirms the pushes of one connection. Its methods return confirmed ranges. At most one ping is unanswered,
    because peers may answer only the latest ping.

    After pushes, a ping is sent when `edge.confirm_interval_seconds` have passed, or later if very many connections are
    due (see `confirms_per_tick`). Behind a proxy, it is sent at the end of the event-loop iteration. There, the end of
    the connection confirms nothing, so the messages of a short connection must be confirmed at once.
    """

    __slots__ = (
        "_behind_proxy", "_clock", "_handling_seconds", "_is_page", "_ping_due", "_pongs", "_settled", "_socket",
        "last_ping", "unconfirmed", "waiting_since",
    )  # fmt: skip

    def __init__(self, socket: Socket, clock: Callable[[], float], handling_seconds: float) -> None:
        self._socket = socket
        self._clock = clock
        self._handling_seconds = handling_seconds
        self._is_page = socket.is_page
        self._behind_proxy = socket.behind_proxy
        self.unconfirmed = UnconfirmedPushes()
        self._ping_due = False
        """Whether a ping is due at the end of this event-loop iteration."""
        self._pongs = 0
        """The number of pongs so far."""
        self._settled: asyncio.Event | None = None
        self.last_ping = clock()
        self.waiting_since: float | None = None
        """When the unanswered ping was sent."""

    def ping(self, now: float) -> None:
        if self.waiting_since is None:
            self.waiting_since = self.last_ping = now
            self.unconfirmed.pinged()
            self._socket.ping()

    def pushed(self, message: Message) -> None:
        """Note that the bytes that were just sent push this message."""
        self.unconfirmed.pushed(message.chat, message.index, self._socket.sent_bytes)
        if self._is_page:
            self.unconfirmed.timed(self._clock())
        if self._behind_proxy and self.waiting_since is None and not self._ping_due:
            self._ping_due = True
            asyncio.get_running_loop().call_soon(self._ping_pushes)

    def _ping_pushes(self) -> None:
        self._ping_due = False
        if self.unconfirmed:
            self.ping(self._clock())

    def pong_received(self, now: float) -> Ranges:
        """Returns the messages that the pong confirms."""
        self.waiting_since = None
        self._pongs += 1
        confirmed = self.unconfirmed.ponged()
        if self.unconfirmed and self._behind_proxy:
            self.ping(now)
        self._wake()
        return confirmed

    def on_timer(
        self, now: float, last_heard: float, settings: EdgeSettings, *, excused: bool, may_confirm: bool
    ) -> bool:
        """Ping when it is time. The timer calls this about every second. Returns whether a pong is overdue.
        `last_heard`: when the client last sent anything. `excused`: see `excuse`. `may_confirm`: whether a ping may be
        sent because of pushes."""
        if self.waiting_since is None:
            is_due = self.unconfirmed and now >= self.last_ping + settings.confirm_interval_seconds
            if (is_due and may_confirm) or now >= last_heard + settings.ping_interval_seconds:
                self.ping(now)
        elif excused:
            self.excuse(now)
        else:
            return now - self.waiting_since > settings.pong_timeout_seconds
        return False

    def excuse(self, now: float) -> None:
        """Restart the time limit for the pong, because reading from the client was paused or the pong is late for
        another known reason (see Socket.delays_pongs)."""
        if self.waiting_since is not None:
            self.waiting_since = now

    def closing(self) -> Ranges:
        """Return the messages that have arrived on TCP before this side closes the connection. If the client has closed
        its socket, our last line resets the connection, and then this number is unknown."""
        if not (self.unconfirmed and self._socket.confirms_by_kernel):
            return {}
        return self.unconfirmed.arrived(self._arrived_bytes())

    def _arrived_bytes(self) -> int:
        waiting = self._socket.unacknowledged()
        return -1 if waiting is None else self._socket.sent_bytes - waiting

    def ended(self) -> Ranges:
        """Return the confirmed messages, because the account leaves the connection. Bytes that the client's kernel has
        acknowledged count as delivered, so that messages since the last pong are not sent twice. If a web page closes
        its WebSocket, the last pushes may be lost, because browsers handle no message after `close()`."""
        confirmed: Ranges = {}
        if self.unconfirmed:
            until = self._clock() - self._handling_seconds if self._socket.closed_by_page else None
            confirmed = self.unconfirmed.ended(self._arrived_bytes(), until)
        self._wake()
        return confirmed

    async def confirm_all(self) -> None:
        """Wait at most 0.8 s until everything that was pushed so far is confirmed."""
        if not self.unconfirmed:
            return
        rounds = self._rounds
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while rounds and self.unconfirmed:
                    rounds -= 1
                    await self._next_pong()
        except TimeoutError:
            pass  # the other messages stay undelivered

    async def has_arrived(self) -> bool:
        """Wait at most 10 s until everything that was sent so far has arrived. Returns whether it has."""
        pongs = self._pongs + self._rounds
        try:
            async with asyncio.timeout(_ARRIVAL_SECONDS):
                while self._pongs < pongs:
                    await self._next_pong()
        except TimeoutError:
            return False
        return True

    @property
    def _rounds(self) -> int:
        """How many pongs confirm everything that was sent so far. The pong of a ping already in flight does not."""
        return 1 if self.waiting_since is None else 2

    async def _next_pong(self) -> None:
        """Wait for a pong, or for the end of the account's connection."""
        self.ping(self._clock())
        self._settled = self._settled or asyncio.Event()
        await self._settled.wait()

    def _wake(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None
