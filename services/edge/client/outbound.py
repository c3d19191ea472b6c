"""What goes out to one client: answers at once, pushes when its dialect lets them, none of it without bound."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeGuard

from services.edge.canonical.events import Event
from services.edge.canonical.frames import Content, Frame, Outgoing
from services.edge.canonical.transport import Socket
from services.edge.client.connection import Connection
from services.edge.client.media_sender import Transfers
from services.edge.context import Node
from services.edge.dialects.base import Dialect, Push
from services.edge.dialects.encoded_message import Encoded
from services.edge.metrics import Traffic
from services.edge.receipts.confirmation import Arrival
from shared.clock import now_ms
from shared.contract.model import Message
from shared.telemetry import log

_log = log(__name__)
_LOOKS = 16
"""At the socket's buffer, while as much is sent as may wait there."""


class Outlet:
    """`hang_up` is called when the client does not keep up, its dialect or a transfer fails; `emptied` at the end of
    transfers. Times are the event loop's. See also services.edge.client.media_sender.Line."""

    __slots__ = (
        "_connection", "_emptied", "_hang_up", "_look_at", "_node", "_socket", "_timer", "_transfers", "_wake_at",
        "arrival", "silent", "traffic",
    )  # fmt: skip

    def __init__(
        self, node: Node, socket: Socket, connection: Connection, arrival: Arrival,
        hang_up: Callable[[int, str], None], emptied: Callable[[], None],
    ) -> None:  # fmt: skip
        self._node = node
        self._socket = socket
        self._connection = connection
        self._hang_up = hang_up
        self._emptied = emptied
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at: float | None = None
        """When it will go off; not every event loop's timers tell."""
        self._look_at = 0
        """When so many bytes have been sent, it is looked whether they are taken, too."""
        self._transfers: Transfers | None = None
        """While there are any: then everything waits for its place behind them."""
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
        dialect = self.dialect
        dialect.unix_seconds = now_ms() // 1000
        return dialect

    def write(self, frames: tuple[Outgoing, ...], message: Message | None = None) -> None:
        """`message`: the one that these frames push, if any."""
        if self.silent:
            return
        if self._transfers is None and _fit_a_socket(frames):
            self.write_now(frames, message)
            if self._socket.sent_bytes > self._look_at:
                self._look()
            return
        if self._transfers is None:
            self._transfers = Transfers(self._node, self, self._transferred, self._broken_off)
        self._transfers.put(frames, message)
        self._bound(self._transfers.waiting_bytes)

    def write_now(self, frames: tuple[Frame, ...], message: Message | None = None) -> None:
        if frames and not self.silent:
            self._socket.send(frames)
            if self.traffic is not None:
                self.traffic.frames_out += len(frames)
        if message is not None:
            self.arrival.unconfirmed.pushed(message.chat, message.index, self._socket.sent_bytes)

    def push(self, said: Sequence[Encoded]) -> None:
        """Write messages of one chat now, or let the dialect hold them; unless its client asks for messages itself."""
        dialect = self._connection.dialect
        if self.silent or dialect is None or not dialect.is_told_messages:
            return
        for encoded in said:
            message, frames = encoded.message, encoded.frames(dialect)
            if dialect.holds(message.chat):
                self._push_all(dialect.hold(message, frames, _now()))
                self._bound(dialect.held_bytes)
            else:
                self.write(frames, message)

    def tell(self, event: Event) -> None:
        if not self.silent and self._connection.dialect is not None:
            self._push_all(self.told_time().tell(event, _now()))

    def _push_all(self, pushes: tuple[Push, ...]) -> None:
        for push in pushes:
            if self.silent:
                break
            self.write(push.frames, push.message)
        self.plan()

    def waiting_bytes(self) -> int:
        """What is on its way, or held back."""
        behind = 0 if self._transfers is None else self._transfers.waiting_bytes
        return self._socket.unsent() + behind + self.dialect.held_bytes

    def _look(self) -> None:
        self._look_at = self._socket.sent_bytes + self._node.settings.edge.outgoing_bytes // _LOOKS
        self._bound(self._socket.unsent())

    def _bound(self, waiting_bytes: int) -> None:
        if waiting_bytes > self._node.settings.edge.outgoing_bytes:
            self._node.metrics.slow.inc()
            self._hang_up(1013, "too slow, reconnect to catch up")

    # Pictures and files

    @property
    def transfers(self) -> bool:
        """Something is on its way that takes its time."""
        return self._transfers is not None

    def unsent(self) -> int:
        return self._socket.unsent()

    def moving(self) -> None:
        self.arrival.excuse(_now())

    def account_left(self) -> None:
        """What is still to be pushed stays unread."""
        self.arrival.ended()
        if self._transfers is not None:
            self._transfers.forget_pushes()

    def _transferred(self) -> None:
        self._transfers = None
        self._emptied()

    def _broken_off(self) -> None:
        self._hang_up(1011, "a transfer failed, reconnect to get it")

    # What is held back

    def plan(self) -> None:
        """After every call of the dialect: wake it when it wants to be."""
        wake_at = None if self.silent else self.dialect.wake_at
        if wake_at == self._wake_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = wake_at
        self._timer = None if wake_at is None else asyncio.get_running_loop().call_at(wake_at, self._wake)

    def _wake(self) -> None:
        self._timer = self._wake_at = None
        try:
            self._push_all(self.dialect.wake(_now()))
        except Exception:
            _log.exception("dialect failed", connection=self._connection.number)
            self._hang_up(1011, "internal error")

    def fall_silent(self) -> None:
        self.silent = True
        if self._transfers is not None:
            self._transfers.stop()
            self._transfers = None
        self.plan()


def _fit_a_socket(frames: tuple[Outgoing, ...]) -> TypeGuard[tuple[Frame, ...]]:
    return type(frames[0]) is not Content if len(frames) == 1 else Content not in map(type, frames)


def _now() -> float:
    return asyncio.get_running_loop().time()
