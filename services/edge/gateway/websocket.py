"""One open WebSocket.

A WebSocket sends until a close frame is sent or received. It receives until a close frame is received or the stream
ends. After a protocol violation, it sends a close frame and keeps reading until the peer has stopped sending. Otherwise
the close frame would be lost for two reasons. If a TCP connection with unread bytes is closed, it is reset. A load
balancer also resets a client that sends to a half-closed connection.

All output is delayed to the end of the event-loop iteration, so that each socket needs one system call. A message to a
very big group is written to some recipients before it is prepared for the others. So the first recipients need not wait
for the last.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.transport import Endpoint, Handshake
from services.edge.gateway.flood import COUNTED_BYTES, FloodGuard, ReceiveBudget
from services.edge.gateway.framing import (
    CLOSE,
    PING,
    PONG,
    FragmentAssembler,
    FrameTruncator,
    ParsedFrame,
    close_echo,
    close_frame,
    frame_bytes,
    message_bytes,
    parse_single_close,
    parse_text,
)
from services.edge.gateway.parser import FrameParser
from services.edge.gateway.transport import SLICE_BYTES, BaseTransport
from shared.settings.limits import LimitsSettings

_UNSENT_PONG_BYTES = 64 * 1024
"""While more bytes than this are unsent, the peer's pings are not answered."""
_FLUSH_BYTES: Final = 64 * 1024
"""If more bytes than this are waiting, they are written at once and not at the end of the iteration."""
_ARRIVAL_SECONDS = 0.25
"""The time in which bytes that were sent just before the peer's close frame must be acknowledged."""
_CHECK_SECONDS = 0.01
_FIRST_SLICE_BYTES = 1024
"""The number of bytes that are parsed at a time before the login."""
_QUIET_SECONDS = 0.3
"""If a peer has sent nothing for this time after a protocol violation, it has stopped sending."""
_DRAIN_SECONDS = 3.0
"""The time in which a peer must stop sending after a protocol violation."""
_MAX_WRITERS: Final = 512
"""The most sockets whose output waits for the end of the iteration."""


class WriteBatch:
    """Collects the sockets that have output in this event-loop iteration. All sockets of a gateway share one batch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._writers: list[WebSocket] = []
        self.framed_cache: dict[int, tuple[tuple[Frame, ...], bytes]] = {}
        """The messages that were framed in this iteration, by the id of their tuple. The tuple is kept, so that its id
        is not used for another tuple."""

    def frame_messages(self, frames: tuple[Frame, ...]) -> bytes:
        """Frame the messages. They are framed once in an iteration, for all sockets."""
        wire = message_bytes(frames[0]) if len(frames) == 1 else b"".join(map(message_bytes, frames))
        self.framed_cache[id(frames)] = frames, wire
        return wire

    def flush_later(self, writer: "WebSocket") -> None:
        if len(self._writers) >= _MAX_WRITERS:
            self._flush()
        if not self._writers:
            self.loop.call_soon(self._flush)
        self._writers.append(writer)

    def _flush(self) -> None:
        writers, self._writers = self._writers, []
        self.framed_cache.clear()
        for writer in writers:
            writer.flush()


class WebSocket(BaseTransport[ParsedFrame]):
    __slots__ = (
        "_arrival_pending", "_assembler", "_batch", "_behind_proxy", "_close_code", "_close_echoed", "_closed_by_page",
        "_discarded_at", "_frame_bytes", "_frame_parser", "_is_page", "_outgoing", "_truncator", "binary_texts",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        parser: FrameParser,
        limits: LimitsSettings,
        budget: ReceiveBudget,
        batch: WriteBatch,
        on_closed: Callable[[BaseTransport[Any]], None],
        *,
        behind_proxy: bool = False,
    ) -> None:
        super().__init__(transport, parser, batch.loop, on_closed, FloodGuard(limits), budget)
        self._frame_parser = parser
        kept = limits.text_frame_bytes + 1
        self._assembler = FragmentAssembler(limits.transport_frame_bytes, kept)
        self._truncator: FrameTruncator | None = FrameTruncator(kept, limits.transport_frame_bytes)
        """The truncator, until the login."""
        self._batch = batch
        self._outgoing: list[bytes] | None = None
        """The messages sent in this iteration. A new list is made each time, because the list of an idle socket would
        not be in the CPU's cache."""
        self._frame_bytes = 0
        """The bytes of the incomplete frame at the last call of `delays_pongs`."""
        self._arrival_pending = False
        self._discarded_at = 0.0
        """When the peer last sent something that was dropped after the end."""
        self._behind_proxy = behind_proxy
        self.binary_texts = False
        """Whether the dialect's texts are sent as binary messages."""
        self._is_page = self._closed_by_page = False
        self._close_code = 0
        """The code of the close frame that we have sent."""
        self._close_echoed = False
        """Whether the peer has replied to our close frame. If so, it has received everything that was sent before the
        close frame."""

    def open(self, endpoint: Endpoint, handshake: Handshake) -> None:
        """Begin the connection. Only browsers send the header Origin."""
        self._is_page = bool(handshake.origin)
        super().open(endpoint, handshake)

    # services.edge.canonical.transport.Socket

    @property
    def behind_proxy(self) -> bool:
        return self._behind_proxy

    @property
    def is_page(self) -> bool:
        return self._is_page

    @property
    def closed_by_page(self) -> bool:
        return self._closed_by_page

    def delays_pongs(self) -> bool:
        """Whether more of a frame has arrived since the last call. No pong can arrive in the middle of a frame."""
        before, self._frame_bytes = self._frame_bytes, self._frame_parser.buffered
        return self._frame_bytes > before

    def send(self, frames: tuple[Frame, ...]) -> None:
        if self.binary_texts:
            frames = tuple([frame if isinstance(frame, Binary) else Binary(frame) for frame in frames])
        if self._sending:
            cached = self._batch.framed_cache.get(id(frames))
            self._write(self._batch.frame_messages(frames) if cached is None else cached[1])
        else:
            lost = sum(len(message_bytes(frame)) for frame in frames)
            self.sent_bytes += lost
            self._lost_bytes += lost

    def ping(self) -> None:
        if self._sending:
            self._flood.ping_sent()
            self._write(frame_bytes(PING, b""))

    def close(self, code: int, reason: str) -> None:
        if not self._sending:
            return
        if self.is_flood:
            self._fail(code, reason)
            return
        self._write(close_frame(code, reason))
        self._close_code = code
        self._sending = False
        self.flush()
        self._abort_later()
        self.resume_reading()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Read the data. Text frames and a single close frame are parsed here, without the parser, unless a frame or
        message is incomplete."""
        if len(data) >= COUNTED_BYTES:
            self._throttle(len(data))
        assembler = self._assembler
        if self._truncator is not None:
            self._end_truncation()
        if not (
            self._sending and self._receiving and self._frame_parser.is_idle and assembler.is_idle
            and (self._truncator is None or self._truncator.is_idle)
        ):  # fmt: skip
            if not self._receiving:
                self._discarded_at = self._loop.time()
            self._parse(data)
            return
        try:
            start, size = 0, len(data)
            while start < size and self._sending and self._receiving and not self._paused:
                text, end = parse_text(data, start, assembler.limit)
                if not end:
                    break
                start = end
                self._client.frame_received(text)
            if start == 0 and (close_payload := parse_single_close(data)) is not None:
                self._handle_close(close_payload)
            elif start < size:
                self._parse(data[start:])
        except Exception:
            self._client_failed()

    def _next_slice(self, size: int = SLICE_BYTES) -> memoryview:
        """The next bytes to parse. The input is shortened slice by slice. So a flood costs little more than the frames
        before its first violation."""
        if self._truncator is None:
            return super()._next_slice(size)
        return memoryview(self._truncator.feed(bytes(super()._next_slice(_FIRST_SLICE_BYTES))))

    def _end_truncation(self) -> None:
        """Stop shortening frames, at the first frame after the login."""
        assert self._truncator is not None
        if self._client.is_logged_in and self._truncator.is_idle and self._assembler.is_idle:
            self._truncator = self._assembler.kept = None

    def eof_received(self) -> bool:
        """Handle the end of the stream. The transport closes itself after its remaining writes, unless a close frame
        was received before."""
        if not self._arrival_pending:
            self._closed_by_page = self._is_page and self._sending
            self._stop_receiving()
            self._sending = False
            self.flush()
            self._abort_later()
        return self._arrival_pending

    def connection_lost(self, error: Exception | None) -> None:
        self._outgoing, self._outgoing_bytes = None, 0
        super().connection_lost(error)

    # Out

    def _in_transit(self) -> int | None:
        if self._behind_proxy:
            return 0 if self._close_echoed else None
        return super()._in_transit()

    def flush(self) -> None:
        """Write everything that was sent in this iteration."""
        outgoing = self._outgoing
        if outgoing is not None:
            self._outgoing, self._outgoing_bytes = None, 0
            self._write_out(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    def _write(self, data: bytes) -> None:
        if self._outgoing is None:
            self._batch.flush_later(self)
            self._outgoing = [data]
        else:
            self._outgoing.append(data)
        self._outgoing_bytes += len(data)
        self.sent_bytes += len(data)
        if self._outgoing_bytes > _FLUSH_BYTES:
            self.flush()

    # In

    def _handle(self, item: ParsedFrame) -> None:
        opcode = item.opcode
        if opcode > CLOSE or not item.final:
            self._flood.check(item, self._loop.time())
        if opcode < CLOSE:
            message = self._assembler.add(item)
            self._completed += message is not None
            if message is not None and self._sending:
                if self.binary_texts and isinstance(message, Binary):
                    message = message.data
                self._client.frame_received(message)
        elif opcode == PONG:
            self._client.pong_received()
        elif opcode == CLOSE:
            self._handle_close(item.payload)
        elif self._sending and self.unsent() < _UNSENT_PONG_BYTES:
            self._write(frame_bytes(PONG, item.payload))

    def _incomplete_bytes(self) -> int:
        return super()._incomplete_bytes() + self._assembler.buffered

    # The end

    def _handle_close(self, payload: bytes) -> None:
        """Send nothing more. Our last messages may not have arrived yet. So wait a moment until the peer's kernel has
        acknowledged them, because acknowledged bytes count as delivered. Messages that arrived together with the close
        frame are handled at the end of this iteration, and the connection ends after that."""
        echo = close_echo(payload) if self._sending else b""
        self._close_echoed = self._close_code > 0 and payload[:2] == self._close_code.to_bytes(2, "big")
        self._closed_by_page = self._is_page and not self._close_echoed
        self._receiving = self._sending = False
        self._arrival_pending = True
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(0, self._close_when_arrived, echo, self._loop.time() + _ARRIVAL_SECONDS)

    def _close_when_arrived(self, echo: bytes, deadline: float) -> None:
        self._timer = None
        if self._in_transit() and self._loop.time() < deadline:
            self._timer = self._loop.call_later(_CHECK_SECONDS, self._close_when_arrived, echo, deadline)
            return
        self._arrival_pending = False
        try:
            self._client.peer_closing()
        finally:
            self._transport.write(echo)
            self._transport.close()
            self._abort_later()

    def _report_closing(self) -> None:
        self._stop_receiving()

    def _stop_receiving(self) -> None:
        if self._receiving:
            self._receiving = False
            self._client.peer_closing()

    def _fail(self, code: int, reason: str) -> None:
        if self._transport.is_closing():
            return
        self._stop_receiving()
        if self._sending:
            self._write(close_frame(code, reason))
            self._sending = False
        self.flush()
        self._transport.resume_reading()
        if self._timer is not None:
            self._timer.cancel()
        self._discarded_at = self._loop.time()
        self._end_when_quiet(self._discarded_at + _DRAIN_SECONDS)

    def _end_when_quiet(self, deadline: float) -> None:
        self._timer = None
        quiet_at = self._discarded_at + _QUIET_SECONDS
        if not self._transport.is_closing() and self._loop.time() < min(quiet_at, deadline):
            self._timer = self._loop.call_at(min(quiet_at, deadline), self._end_when_quiet, deadline)
            return
        if not self._transport.is_closing():
            self._transport.write_eof()
        self._abort_later()
