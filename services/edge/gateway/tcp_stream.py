"""One open plain TCP connection: every message is a line or a JSON value, and the kernel's word stands in for pongs.

A stream has no close frame. Its end from the client's side says only that the client sends nothing more: what it asked
for is answered first. Before we end ours, what was sent has a moment to arrive and the client is asked about it, for
afterwards nobody could tell."""

import asyncio
from collections.abc import Callable
from typing import Any

from services.edge.canonical.frames import Frame
from services.edge.gateway import socket_options
from services.edge.gateway.stream_splitter import StreamSplitter
from services.edge.gateway.transport import BaseTransport

_LOOK_SECONDS = 0.01
_SELDOM_SECONDS = 1.0


class TcpConnection(BaseTransport[bytes]):
    """Messages are written one by one, `pacing_seconds` apart; if that is 0, each in its own turn of the event loop."""

    __slots__ = ("_has_ended", "_is_told", "_pacing_seconds", "_parted", "_pause", "_splitter", "_waiting")

    def __init__(
        self,
        transport: asyncio.Transport,
        splitter: StreamSplitter,
        pacing_seconds: float,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[BaseTransport[Any]], None],
    ) -> None:
        super().__init__(transport, splitter, loop, ended)
        self._splitter = splitter
        self._pacing_seconds = pacing_seconds
        self._waiting: list[bytes] = []
        self._pause: asyncio.TimerHandle | None = None
        """After a message was written."""
        self._has_ended = self._parted = self._is_told = False

    # services.edge.canonical.transport.Socket

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
            self._loop.call_soon(self._look, self.sent_bytes, _LOOK_SECONDS)

    def close(self, code: int, reason: str) -> None:
        if not self._sending:
            return
        self._sending = False
        self._stop_receiving()
        self._give_up_later()
        self._part()

    def is_paced(self) -> bool:
        return bool(self._waiting)

    # asyncio.Protocol

    def eof_received(self) -> bool:
        """The transport stays open, unless our side has ended before."""
        self._has_ended = True
        if self._receiving:
            self._receiving = False
            for frame in self._splitter.remainder():
                self._client.frame_received(frame)
            self._client.input_ended()
        return not self._parted

    def connection_lost(self, error: Exception | None) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._waiting, self._outgoing_bytes = [], 0
        super().connection_lost(error)

    # Out

    def _write(self, line: bytes) -> None:
        self._transport.write(line)
        self._pause = self._loop.call_later(self._pacing_seconds, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        if self._waiting:
            line = self._waiting.pop(0)
            self._outgoing_bytes -= len(line)
            self._write(line)

    def _look(self, position: int, seconds: float) -> None:
        """The pong to a ping that was sent at this position: when the peer's kernel has everything up to there. Looked
        for less and less often."""
        if not self._sending:
            return
        if self._has_arrived(position):
            self._client.pong_received()
        else:
            self._loop.call_later(seconds, self._look, position, min(2 * seconds, _SELDOM_SECONDS))

    def _has_arrived(self, position: int) -> bool:
        """Where the kernel does not tell, what it has taken counts."""
        under_way = self._under_way() if socket_options.REPORTS_UNACKNOWLEDGED else self.unsent()
        return under_way is not None and self.sent_bytes - under_way >= position

    # In

    def _handle(self, item: bytes) -> None:
        self._client.frame_received(item)

    def _fail(self, code: int, reason: str) -> None:
        """What was understood is answered, and what was not: it came as the last frame."""
        self._stop_receiving()
        self._client.input_ended()

    def _stop_receiving(self) -> None:
        """What still comes is read and dropped: closing a TCP connection with unread bytes resets it, and what was said
        last would be lost with it."""
        self._receiving = self._paused = False
        if not self._has_ended:
            self._transport.resume_reading()

    # The end

    def _part(self) -> None:
        if self._transport.is_closing():
            return
        if self._waiting or self._under_way():
            self._loop.call_later(_LOOK_SECONDS, self._part)
            return
        self._last_look()
        self._parted = True
        if self._has_ended:
            self._transport.close()
        else:
            self._transport.write_eof()

    def _last_look(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._client.peer_closing()
