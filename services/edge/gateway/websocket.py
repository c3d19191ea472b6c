"""One open WebSocket: the asyncio protocol of its transport on one side, `services.edge.socket.Socket` on the other.

It may send until a close frame is sent or received, and receives until one is received or the stream ends. A peer that
breaks the protocol is told why and then heard out for a moment: closing a TCP connection with unread bytes resets it,
and the close frame would be lost with it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from services.edge.gateway import kernel
from services.edge.gateway.framing import (
    CLOSE,
    INTERNAL_ERROR,
    PING,
    PONG,
    Received,
    Violation,
    close_echo,
    close_frame,
    frame,
    framed,
)
from services.edge.gateway.messages import Messages
from services.edge.gateway.parsing import Parser
from services.edge.gateway.writing import Turn
from services.edge.requests import Frame
from services.edge.socket import Client, Endpoint, Hello
from shared.telemetry import log

_log = log(__name__)
_SLICE_BYTES = 4096
"""Parsed at a time, so that a client that wants a pause is given few frames more."""
_PONGS_BYTES = 64 * 1024
"""Unsent bytes of a peer, above which its pings are not answered."""
_AT_ONCE_BYTES = 64 * 1024
"""Written without waiting for the turn's end."""
_CLOSING_SECONDS = 3
_ARRIVING_SECONDS = 0.25
"""For what was sent just before the peer's close frame came, to be acknowledged."""
_LOOK_SECONDS = 0.01
_NOTHING = memoryview(b"")


class WebSocket(asyncio.Protocol):
    __slots__ = (
        "_client", "_ended", "_frames", "_lost_bytes", "_messages", "_outgoing", "_outgoing_bytes", "_parser",
        "_parting", "_paused", "_receiving", "_sending", "_sent_bytes", "_timer", "_transport", "_turn", "_unparsed",
    )  # fmt: skip

    _client: Client

    def __init__(
        self,
        transport: asyncio.Transport,
        parser: Parser,
        message_bytes: int,
        turn: Turn,
        ended: Callable[["WebSocket"], None],
    ) -> None:
        self._transport = transport
        self._parser = parser
        self._messages = Messages(message_bytes)
        self._turn = turn
        self._ended = ended
        self._frames: Iterator[Received] = iter(())
        self._unparsed = _NOTHING
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = self._sent_bytes = self._lost_bytes = 0
        self._sending = self._receiving = True
        self._paused = self._parting = False
        self._timer: asyncio.TimerHandle | None = None

    def open(self, endpoint: Endpoint, hello: Hello) -> None:
        self._client = endpoint.connected(hello, self)
        self._transport.set_protocol(self)

    # services.edge.socket.Socket

    def send(self, frames: Iterable[Frame]) -> None:
        if self._sending:
            self._write(self._turn.framed(tuple(frames)))
        else:
            lost = sum(len(framed(frame)) for frame in frames)
            self._sent_bytes += lost
            self._lost_bytes += lost

    def ping(self) -> None:
        if self._sending:
            self._write(frame(PING, b""))

    def close(self, code: int, reason: str) -> None:
        if not self._sending:
            return
        self._write(close_frame(code, reason))
        self._sending = False
        self.flush()
        self._give_up_later()
        self.resume_reading()

    def abort(self) -> None:
        self._sending = self._receiving = False
        self._transport.abort()

    def pause_reading(self) -> None:
        if self._sending:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._turn.loop.call_soon(self._resume)

    def sent(self) -> int:
        return self._sent_bytes

    def unsent(self) -> int:
        return self._outgoing_bytes + self._transport.get_write_buffer_size()

    def unacknowledged(self) -> int | None:
        under_way = self._under_way()
        return None if under_way is None else under_way + self._lost_bytes

    def _under_way(self) -> int | None:
        if self._transport.is_closing():
            return None
        in_kernel = kernel.unacknowledged(self._transport)
        return None if in_kernel is None else in_kernel + self.unsent()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._receiving:
            self._unparsed = memoryview(data)
            self._proceed()

    def eof_received(self) -> bool:
        """Unless it is parting already, the transport closes itself when what is left is written."""
        if not self._parting:
            self._peer_ends()
            self._sending = False
            self.flush()
            self._give_up_later()
        return self._parting

    def connection_lost(self, _error: Exception | None) -> None:
        self._sending = self._receiving = False
        self._outgoing, self._outgoing_bytes = [], 0
        if self._timer is not None:
            self._timer.cancel()
        self._ended(self)
        self._client.closed()

    # Out

    def flush(self) -> None:
        outgoing = self._outgoing
        if outgoing:
            self._outgoing, self._outgoing_bytes = [], 0
            self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    def _write(self, data: bytes) -> None:
        if not self._outgoing:
            self._turn.flush_later(self)
        self._outgoing.append(data)
        self._outgoing_bytes += len(data)
        self._sent_bytes += len(data)
        if self._outgoing_bytes > _AT_ONCE_BYTES:
            self.flush()

    # In

    def _resume(self) -> None:
        self._proceed()
        if self._receiving and not self._paused:
            self._transport.resume_reading()

    def _proceed(self) -> None:
        """Report what has arrived, until the client wants a pause."""
        try:
            while self._receiving and not self._paused:
                received = next(self._frames, None)
                if received is not None:
                    self._handle(received)
                elif self._parser.violation is not None:
                    raise self._parser.violation
                elif self._unparsed:
                    self._frames = iter(self._parser.feed(self._next_slice()))
                else:
                    return
        except Violation as violation:
            self._fail(violation.code, violation.reason)
        except Exception:
            _log.exception("client failed")
            self._fail(INTERNAL_ERROR, "internal error")

    def _next_slice(self) -> memoryview:
        data = self._unparsed
        self._unparsed = data[_SLICE_BYTES:] if len(data) > _SLICE_BYTES else _NOTHING
        return data[:_SLICE_BYTES]

    def _handle(self, received: Received) -> None:
        opcode = received.opcode
        if opcode < CLOSE:
            message = self._messages.add(received)
            if message is not None and self._sending:
                self._client.frame_received(message)
        elif opcode == PONG:
            self._client.pong_received()
        elif opcode == CLOSE:
            self._peer_closes(received.payload)
        elif self._sending and self.unsent() < _PONGS_BYTES:
            self._write(frame(PONG, received.payload))

    # The end

    def _peer_closes(self, payload: bytes) -> None:
        """Nothing is sent any more. What was sent last may still be under way, and the peer's kernel is given a moment
        to say that it has it: the edge takes its word for what has arrived."""
        echo = close_echo(payload) if self._sending else b""
        self._receiving = self._sending = False
        self._parting = True
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        self._part(echo, self._turn.loop.time() + _ARRIVING_SECONDS)

    def _part(self, echo: bytes, deadline: float) -> None:
        self._timer = None
        if self._under_way() and self._turn.loop.time() < deadline:
            self._timer = self._turn.loop.call_later(_LOOK_SECONDS, self._part, echo, deadline)
            return
        self._parting = False
        try:
            self._client.peer_closing()
        finally:
            self._transport.write(echo)
            self._transport.close()
            self._give_up_later()

    def _peer_ends(self) -> None:
        if self._receiving:
            self._receiving = False
            self._client.peer_closing()

    def _fail(self, code: int, reason: str) -> None:
        if self._transport.is_closing():
            return
        self._peer_ends()
        if self._sending:
            self._write(close_frame(code, reason))
            self._sending = False
        self.flush()
        self._transport.write_eof()
        self._transport.resume_reading()
        self._give_up_later()

    def _give_up_later(self) -> None:
        if self._timer is None:
            self._timer = self._turn.loop.call_later(1, self._give_up, _CLOSING_SECONDS - 1, self.unsent())

    def _give_up(self, seconds_left: int, unsent_before: int) -> None:
        """Abort at the end, or as soon as a second has passed in which the peer read nothing of what waits for it."""
        unsent = self.unsent()
        if not seconds_left or unsent >= unsent_before > 0:
            self.abort()
        else:
            self._timer = self._turn.loop.call_later(1, self._give_up, seconds_left - 1, unsent)
