"""What goes out to one client: answers at once, pushes when its dialect lets them, none of it without bound."""

import asyncio
from collections.abc import Callable

from services.edge.arrival import Arrival
from services.edge.connection import Connection
from services.edge.dialects.base import Dialect, Push
from services.edge.encoding import Encoded
from services.edge.metrics import Traffic
from services.edge.requests import Event, Frame
from services.edge.socket import Socket
from shared.clock import now_ms
from shared.telemetry import log

_log = log(__name__)


class Outlet:
    """`hang_up` is called when the client does not keep up, or its dialect fails; times are the event loop's."""

    __slots__ = ("_connection", "_hang_up", "_most_bytes", "_socket", "_timer", "arrival", "silent", "traffic")

    def __init__(
        self, socket: Socket, connection: Connection, arrival: Arrival, most_bytes: int,
        hang_up: Callable[[int, str], None],
    ) -> None:  # fmt: skip
        self._socket = socket
        self._connection = connection
        self._most_bytes = most_bytes
        self._hang_up = hang_up
        self._timer: asyncio.TimerHandle | None = None
        self.arrival = arrival
        self.traffic: Traffic | None = None
        self.silent = False
        """Nothing more is said; only the socket is still to end."""

    @property
    def dialect(self) -> Dialect:
        assert self._connection.dialect is not None
        return self._connection.dialect

    def told_time(self) -> Dialect:
        """The dialect, as it must be before it answers, refuses or tells: it knows what time it is."""
        self.dialect.unix_seconds = now_ms() // 1000
        return self.dialect

    def write(self, frames: tuple[Frame, ...]) -> None:
        if not frames or self.silent:
            return
        self._socket.send(frames)
        if self.traffic is not None:
            self.traffic.frames_out += len(frames)
        self._bound(self._socket.unsent())

    def push(self, encoded: Encoded) -> None:
        """Write a message now, or let the dialect hold it."""
        if self.silent:
            return
        message, dialect = encoded.message, self.dialect
        frames = encoded.frames(dialect)
        if dialect.holds(message.chat):
            self._push_all(dialect.hold(message, frames, _now()))
            self._bound(dialect.held_bytes)
        else:
            self.write(frames)
            self.arrival.pushed(message.chat, message.index)

    def tell(self, event: Event) -> None:
        if not self.silent and self._connection.dialect is not None:
            self._push_all(self.told_time().tell(event, _now()))

    def _push_all(self, pushes: tuple[Push, ...]) -> None:
        for push in pushes:
            if self.silent:
                break
            self.write(push.frames)
            if push.message is not None:
                self.arrival.pushed(push.message.chat, push.message.index)
        self.plan()

    def waiting_bytes(self) -> int:
        """What is on its way, or held back."""
        return self._socket.unsent() + self.dialect.held_bytes

    def _bound(self, waiting_bytes: int) -> None:
        if waiting_bytes > self._most_bytes:
            self._hang_up(1013, "too slow, reconnect to catch up")

    # What is held back

    def plan(self) -> None:
        """After every call of the dialect: wake it when it wants to be."""
        wake_at = None if self.silent else self.dialect.wake_at
        if self._timer is not None:
            if self._timer.when() == wake_at:
                return
            self._timer.cancel()
            self._timer = None
        if wake_at is not None:
            self._timer = asyncio.get_running_loop().call_at(wake_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        try:
            self._push_all(self.dialect.wake(_now()))
        except Exception:
            _log.exception("dialect failed", connection=self._connection.number)
            self._hang_up(1011, "internal error")

    def fall_silent(self) -> None:
        self.silent = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _now() -> float:
    return asyncio.get_running_loop().time()
