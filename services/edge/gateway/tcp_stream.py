"""One open plain TCP connection. Each message is a line or a JSON value. Acknowledgements of the kernel take the place
of pongs.

TCP has no close frame. If a client ends only its own side, its requests are still answered. Before we end our side, we
wait a moment for the arrival of everything sent. Then the handler reads the number of unacknowledged bytes, which would
be unknown later.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from services.edge.canonical.frames import Frame
from services.edge.gateway import socket_options
from services.edge.gateway.flood import FloodGuard, ReceiveBudget
from services.edge.gateway.stream_splitter import StreamSplitter
from services.edge.gateway.transport import BaseTransport
from shared.settings.limits import ConnectionLimits

_CHECK_SECONDS = 0.01
_MAX_CHECK_SECONDS = 1.0


class TcpConnection(BaseTransport[bytes]):
    """Messages are written one at a time, `pacing_seconds` apart. If this is 0, each message is written in its own
    event-loop iteration."""

    __slots__ = (
        "_closing_reported", "_own_side_ended", "_pacing_seconds", "_pause", "_peer_ended", "_splitter", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        splitter: StreamSplitter,
        limits: ConnectionLimits,
        budget: ReceiveBudget,
        pacing_seconds: float,
        loop: asyncio.AbstractEventLoop,
        on_closed: Callable[[BaseTransport[Any]], None],
    ) -> None:
        super().__init__(transport, splitter, loop, on_closed, FloodGuard(limits), budget)
        self._splitter = splitter
        self._pacing_seconds = pacing_seconds
        self._waiting: list[bytes] = []
        self._pause: asyncio.TimerHandle | None = None
        """The timer for the pause after a message."""
        self._peer_ended = self._own_side_ended = self._closing_reported = False

    # services.edge.canonical.transport.Socket

    @property
    def confirms_by_kernel(self) -> bool:
        return True

    def send(self, frames: tuple[Frame, ...]) -> None:
        line_ending = self._client.line_ending
        for frame in frames:
            line = self._splitter.to_wire(frame, line_ending)
            self.sent_bytes += len(line)
            if not self._sending:
                self._lost_bytes += len(line)
            elif self._pause is None:
                self._write(line)
            else:
                self._waiting.append(line)
                self._outgoing_bytes += len(line)

    def ping(self) -> None:
        if self._sending:
            self._loop.call_soon(self._check_arrival, self.sent_bytes, _CHECK_SECONDS)

    def close(self, code: int, reason: str) -> None:
        if not self._sending:
            return
        self._sending = False
        self._stop_receiving()
        self._abort_later()
        self._end_when_arrived()

    def delays_pongs(self) -> bool:
        return bool(self._waiting)

    # asyncio.Protocol

    def eof_received(self) -> bool:
        """Handle the end of the peer's side. The transport stays open unless our side has already ended."""
        self._peer_ended = True
        if self._receiving:
            self._receiving = False
            for frame in self._splitter.remainder():
                self._client.frame_received(frame)
            self._client.input_ended()
        return not self._own_side_ended

    def connection_lost(self, error: Exception | None) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._waiting, self._outgoing_bytes = [], 0
        super().connection_lost(error)

    # Out

    def _write(self, line: bytes) -> None:
        self._write_out(line)
        self._pause = self._loop.call_later(self._pacing_seconds, self._write_next)

    def _write_next(self) -> None:
        self._pause = None
        if self._waiting:
            line = self._waiting.pop(0)
            self._outgoing_bytes -= len(line)
            self._write(line)

    def _check_arrival(self, position: int, seconds: float) -> None:
        """Report the pong to a ping that was sent at this position, once the peer's kernel has acknowledged all bytes
        up to it. Each check is made after a longer pause than the previous one."""
        if not self._sending:
            return
        if self._has_arrived(position):
            self._client.pong_received()
        else:
            self._loop.call_later(seconds, self._check_arrival, position, min(2 * seconds, _MAX_CHECK_SECONDS))

    def _has_arrived(self, position: int) -> bool:
        """Whether the peer's kernel has all bytes up to this position. On systems without `unacknowledged`, bytes that
        our kernel has accepted count as arrived."""
        in_transit = self._in_transit() if socket_options.REPORTS_UNACKNOWLEDGED else self.unsent()
        return in_transit is not None and self.sent_bytes - in_transit >= position

    # In

    def _parse(self, data: bytes) -> None:
        if self._splitter.kept is not None and self._client.is_logged_in:
            self._splitter.kept = None
        super()._parse(data)

    def _handle(self, item: bytes) -> None:
        self._completed += 1
        self._client.frame_received(item)

    def _fail(self, code: int, reason: str) -> None:
        """Close the connection. The frames before the error are answered first, and then the malformed data, which is
        the last frame."""
        self._stop_receiving()
        self._client.input_ended()

    def _stop_receiving(self) -> None:
        """Keep reading, but drop the data. If a TCP connection with unread bytes is closed, it is reset, and our last
        messages would be lost."""
        self._receiving = self._paused = False
        if not self._peer_ended:
            self._transport.resume_reading()

    # The end

    def _end_when_arrived(self) -> None:
        if self._transport.is_closing():
            return
        if self._waiting or self._in_transit():
            self._loop.call_later(_CHECK_SECONDS, self._end_when_arrived)
            return
        self._report_closing()
        self._own_side_ended = True
        if self._peer_ended:
            self._transport.close()
        else:
            self._transport.write_eof()

    def _report_closing(self) -> None:
        if not self._closing_reported:
            self._closing_reported = True
            self._client.peer_closing()
