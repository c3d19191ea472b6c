"""Delivery confirmation for one connection: its pongs, in the order of our pings, confirm pushed messages."""

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable

from services.edge.canonical.transport import Socket
from services.edge.receipts.read_state import Ranges, add_span
from shared.contract.ids import ChatId
from shared.contract.model import Message
from shared.settings import EdgeSettings

_SETTLE_SECONDS = 0.8
_FEW_PINGS = 500
_SLACK = 1.5
"""So many times the pings that are due on average: the connections that are ticked last get their turn, too."""


def confirms_per_tick(connections: int, tick_seconds: float, settings: EdgeSettings) -> int:
    """The number of connections that may be pinged for their pushes in one tick of all. After a message to a very big
    group all of these are due at once: pings and pongs would hold up the next message."""
    interval = max(tick_seconds, settings.confirm_interval_seconds)
    return max(_FEW_PINGS, int(connections * tick_seconds / interval * _SLACK))


class _PushedRun:
    """Pushes of consecutive messages of one chat."""

    __slots__ = ("chat", "high", "low")

    def __init__(self, chat: ChatId, low: int, high: int) -> None:
        self.chat = chat
        self.low = low
        self.high = high


class UnconfirmedPushes:
    """Pushed messages of one connection that are not confirmed yet. A message's position is the number of bytes sent up
    to its end; times are those of one clock, in seconds. Keeps no object of a message: there are tens of thousands, and
    they would push what the next message needs out of the processor's cache."""

    __slots__ = ("_chat", "_high", "_low", "_older", "_pinged", "_positions", "_times")

    def __init__(self) -> None:
        self._older: list[_PushedRun] = []
        """The runs before the last one, in order."""
        self._chat = ChatId(0)
        self._low, self._high = 1, 0
        """Of the last run, whose fields are here: a push then needs one object less. Empty if none is unconfirmed."""
        self._positions = array("q")
        """Of each push."""
        self._times = array("d")
        """Of each push, if they are timed."""
        self._pinged = 0
        """Number of messages pushed before the ping."""

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
        """The time of the last push. Of one connection, all pushes are timed or none."""
        self._times.append(now)

    def contains(self, chat: ChatId, index: int) -> bool:
        if self._chat == chat and self._low <= index <= self._high:
            return True
        return any(run.chat == chat and run.low <= index <= run.high for run in self._older)

    def pinged(self) -> None:
        """A ping was sent; its pong will confirm everything pushed so far."""
        self._pinged = len(self._positions)

    def ponged(self) -> Ranges:
        """The ranges confirmed by the pong."""
        return self._confirm(self._pinged)

    def ended(self, position: int, until: float | None) -> Ranges:
        """The ranges confirmed at the connection's end, when `position` bytes have arrived. `until`: the client has
        handled no later push, of timed ones. The rest stays undelivered."""
        count = bisect_right(self._positions, position)
        if until is not None:
            count = bisect_right(self._times, until, hi=count)
        confirmed = self._confirm(count)
        self._low = self._high + 1
        del self._older[:], self._positions[:], self._times[:]
        return confirmed

    def _confirm(self, count: int) -> Ranges:
        """The first so many pushes."""
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
    """Returns confirmed ranges. At most one ping is unanswered, since peers may answer only the latest.

    Pushes are followed by a ping after `edge.confirm_interval_seconds`, or later if very many connections are due (see
    `confirms_per_tick`), but behind a proxy at the end of the event loop's tick: there the end of the connection
    confirms nothing, and a visit that is shorter must confirm all the same."""

    __slots__ = (
        "_behind_proxy", "_clock", "_handling_seconds", "_is_page", "_ping_due", "_settled", "_socket", "last_ping",
        "unconfirmed", "waiting_since",
    )  # fmt: skip

    def __init__(self, socket: Socket, clock: Callable[[], float], handling_seconds: float) -> None:
        self._socket = socket
        self._clock = clock
        self._handling_seconds = handling_seconds
        self._is_page = socket.is_page
        self._behind_proxy = socket.behind_proxy
        self.unconfirmed = UnconfirmedPushes()
        self._ping_due = False
        """At the end of this tick."""
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
        """The last bytes sent push this message."""
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
        confirmed = self.unconfirmed.ponged()
        if self.unconfirmed and self._behind_proxy:
            self.ping(now)
        self._wake()
        return confirmed

    def tick(self, now: float, last_heard: float, settings: EdgeSettings, *, excused: bool, may_confirm: bool) -> bool:
        """Called about every second: ping when it is time. Returns whether a pong is overdue. `last_heard`: when the
        client last sent anything; `excused`: see `excuse`; `may_confirm`: whether it may ping because of pushes."""
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
        """Restart the pong's time-out: reading from the client was paused, or see Socket.delays_pongs."""
        if self.waiting_since is not None:
            self.waiting_since = now

    def ended(self) -> Ranges:
        """The account leaves the connection. Bytes that the client's kernel has acknowledged count as delivered, so
        that messages since the last pong are not sent twice. But a web page that closes its WebSocket may drop what
        came last: browsers handle no message after `close()`."""
        confirmed: Ranges = {}
        if self.unconfirmed:
            waiting = self._socket.unacknowledged()
            arrived = -1 if waiting is None else self._socket.sent_bytes - waiting
            until = self._clock() - self._handling_seconds if self._socket.closed_by_page else None
            confirmed = self.unconfirmed.ended(arrived, until)
        self._wake()
        return confirmed

    async def confirm_all(self) -> None:
        """Wait, 0.8 s at most, until everything pushed so far is confirmed."""
        if not self.unconfirmed:
            return
        rounds = 1 if self.waiting_since is None else 2  # the unanswered ping does not cover newer pushes
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while rounds and self.unconfirmed:
                    rounds -= 1
                    self.ping(self._clock())
                    self._settled = self._settled or asyncio.Event()
                    await self._settled.wait()
        except TimeoutError:
            pass  # the rest stays undelivered

    def _wake(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None
