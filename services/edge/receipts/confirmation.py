"""Has what was pushed arrived? Asked of one client by pings, which its pongs answer in order."""

import asyncio
from collections.abc import Callable

from services.edge.canonical.transport import Socket
from services.edge.receipts.read_state import Ranges, UnconfirmedPushes
from shared.settings import Edge

_SETTLE_SECONDS = 0.8


class DeliveryConfirmation:
    """`report` is told what has arrived. One ping is out at a time: peers may answer the latest alone."""

    __slots__ = ("_report", "_settled", "_socket", "last_ping", "unconfirmed", "waiting_since")

    def __init__(self, socket: Socket, report: Callable[[Ranges], None], now: float) -> None:
        self._socket = socket
        self._report = report
        self.unconfirmed = UnconfirmedPushes()
        """What is pushed is told to it."""
        self._settled: asyncio.Event | None = None
        self.last_ping = now
        self.waiting_since: float | None = None
        """When the ping was sent that has no pong yet."""

    def ping(self, now: float) -> None:
        if self.waiting_since is None:
            self.waiting_since = self.last_ping = now
            self.unconfirmed.pinged()
            self._socket.ping()

    def pong_received(self) -> None:
        self.waiting_since = None
        self._report(self.unconfirmed.ponged())
        self._wake()

    def tick(self, now: float, heard: float, settings: Edge, *, excused: bool) -> bool:
        """Called about every second: ask when it is time. Returns whether a pong is owed for too long. `heard`: when
        anything came from the client last; `excused`: its pong may be late for a good reason."""
        if self.waiting_since is None:
            confirm, idle = self.last_ping + settings.confirm_interval_seconds, heard + settings.ping_interval_seconds
            if now >= (confirm if self.unconfirmed else idle):
                self.ping(now)
        elif excused:
            self.excuse(now)
        else:
            return now - self.waiting_since > settings.pong_timeout_seconds
        return False

    def excuse(self, now: float) -> None:
        """Its pong may be late for a good reason: it was not read for a while, or the ping waits behind much else."""
        if self.waiting_since is not None:
            self.waiting_since = now

    def ended(self) -> None:
        """The account leaves the connection; what the peer's kernel has acknowledged has arrived, to the byte: what
        was just being sent must not make everything since the last pong come twice."""
        if self.unconfirmed:
            waiting = self._socket.unacknowledged()
            self._report(self.unconfirmed.ended(-1 if waiting is None else self._socket.sent_bytes - waiting))
        self._wake()

    async def confirm_all(self, now: Callable[[], float]) -> None:
        """Wait, a moment at most, until it is known whether what was pushed before has arrived."""
        if not self.unconfirmed:
            return
        rounds = 1 if self.waiting_since is None else 2  # a ping that is out says nothing of what is newer
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while rounds and self.unconfirmed:
                    rounds -= 1
                    self.ping(now())
                    self._settled = self._settled or asyncio.Event()
                    await self._settled.wait()
        except TimeoutError:
            pass  # then it stays unread

    def _wake(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None
