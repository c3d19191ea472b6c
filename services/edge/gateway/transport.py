"""The common base class of WebSocket and plain TCP connections. It is an asyncio protocol, and implements most methods
of a Socket."""

import asyncio
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from services.edge.canonical.transport import ClientHandler, Endpoint, Handshake, Socket
from services.edge.gateway import socket_options
from services.edge.gateway.flood import COUNTED_BYTES, PART_BYTES, FloodGuard, ReceiveBudget
from services.edge.gateway.framing import INTERNAL_ERROR, POLICY_VIOLATION, ProtocolViolation
from services.edge.gateway.parser import Parser
from shared.telemetry import log

Item = TypeVar("Item")

_log = log(__name__)
SLICE_BYTES = 4096
"""The number of bytes that are parsed at a time. The number is small, so that few more frames are reported after
`pause_reading`."""
_CLOSING_SECONDS = 3
_MESSAGE_SECONDS = 120.0
"""The time in which a message must arrive. If it does not, its connection is closed, at the latest after twice this
time."""
_NOTHING = memoryview(b"")


class BaseTransport(Socket, asyncio.Protocol, Generic[Item]):
    """The transport writes only while `_sending`, and reports frames only while `_receiving`. `_outgoing_bytes`: the
    bytes that the handler has sent and that are not written yet. `_lost_bytes`: the bytes that were sent after the end
    of the connection."""

    __slots__ = (
        "_budget", "_client", "_completed", "_descriptor", "_flood", "_held", "_is_backlogged", "_items", "_loop",
        "_lost_bytes", "_on_closed", "_outgoing_bytes", "_parser", "_paused", "_receiving", "_sending", "_throttled",
        "_timer", "_transport", "_unfinished", "_unparsed", "is_flood",
    )  # fmt: skip

    _client: ClientHandler

    def __init__(
        self,
        transport: asyncio.Transport,
        parser: Parser[Item],
        loop: asyncio.AbstractEventLoop,
        on_closed: Callable[["BaseTransport[Any]"], None],
        flood: FloodGuard,
        budget: ReceiveBudget,
    ) -> None:
        self._transport = transport
        self._descriptor = socket_options.descriptor(transport)
        self._is_backlogged = True
        """Whether bytes may wait in the asyncio transport."""
        self._parser = parser
        self._loop = loop
        self._on_closed = on_closed
        self._flood = flood
        self._budget = budget
        self._held = 0
        """The number of bytes by which this connection uses the shared budget of incomplete messages."""
        self._completed = 0
        """The number of messages that needed the parser."""
        self._unfinished: asyncio.TimerHandle | None = None
        """The timer that runs while a message may be incomplete."""
        self._throttled: asyncio.TimerHandle | None = None
        """The timer that runs while nothing is read, because the peer has sent too many bytes."""
        self._items: Iterator[Item] = iter(())
        self._unparsed = _NOTHING
        self._outgoing_bytes = self.sent_bytes = self._lost_bytes = 0
        self._sending = self._receiving = True
        self._paused = self.is_flood = False
        self._timer: asyncio.TimerHandle | None = None

    def open(self, endpoint: Endpoint, handshake: Handshake) -> None:
        self._client = endpoint.connected(handshake, self)
        self._transport.set_protocol(self)

    @abstractmethod
    def _handle(self, item: Item) -> None:
        """Handle one parsed item. Raises ProtocolViolation."""

    def _incomplete_bytes(self) -> int:
        """The received bytes that are held until their message is complete."""
        return self._parser.buffered + len(self._unparsed)

    @abstractmethod
    def _fail(self, code: int, reason: str) -> None:
        """Close the connection, because its input cannot be parsed any further."""

    # services.edge.canonical.transport.Socket

    def count_as_flood(self) -> None:
        self.is_flood = True

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
            self._loop.call_soon(self._resume)

    def unsent(self) -> int:
        return self._outgoing_bytes + self._transport.get_write_buffer_size()

    def unacknowledged(self) -> int | None:
        in_transit = self._in_transit()
        return None if in_transit is None else in_transit + self._lost_bytes

    def _in_transit(self) -> int | None:
        if self._transport.is_closing():
            return None
        in_kernel = socket_options.unacknowledged(self._transport)
        return None if in_kernel is None else in_kernel + self.unsent()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if len(data) >= COUNTED_BYTES:
            self._throttle(len(data))
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self._receiving:
            self._unparsed, completed = memoryview(data), self._completed
            self._report_received()
            if self._completed == completed and len(data) < COUNTED_BYTES and (self._held or data.isspace()):
                self._throttle(PART_BYTES)

    def connection_lost(self, _error: Exception | None) -> None:
        self._sending = self._receiving = False
        self._descriptor = -1
        for timer in (self._timer, self._throttled, self._unfinished):
            if timer is not None:
                timer.cancel()
        self._budget.change(self._held, 0)
        self._on_closed(self)
        self._client.closed()

    # Out

    def _write_out(self, data: bytes) -> None:
        """Write to the socket directly, unless bytes wait in the asyncio transport. The transport's `write` uses many
        objects. After an idle time these are not in the CPU's cache, and the call takes almost as long as the system
        call. Bytes that the kernel does not accept are given to the transport, which also finds out the reason. The
        transport closes the socket only after `connection_lost`."""
        if self._is_backlogged:
            self._is_backlogged = self._descriptor < 0 or self._transport.get_write_buffer_size() > 0
        if not self._is_backlogged:
            try:
                written = os.write(self._descriptor, data)
            except OSError:  # the kernel's buffer is full, or the connection has ended
                written = 0
            if written == len(data):
                return
            data, self._is_backlogged = data[written:], True
        self._transport.write(data)

    # In

    def _resume(self) -> None:
        self._report_received()
        if self._receiving and not self._paused and self._throttled is None:
            self._transport.resume_reading()

    def _throttle(self, received: int) -> None:
        seconds = self._flood.pause_seconds(received, self._loop.time())
        if seconds and self._throttled is None and self._receiving:
            self._transport.pause_reading()
            self._throttled = self._loop.call_later(seconds, self._end_throttling)

    def _end_throttling(self) -> None:
        self._throttled = None
        if not (self._paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def _report_received(self) -> None:
        """Report received items until the handler pauses reading."""
        try:
            while self._receiving and not self._paused:
                item = next(self._items, None)
                if item is not None:
                    self._handle(item)
                elif self._parser.violation is not None:
                    raise self._parser.violation
                elif self._unparsed:
                    self._items = iter(self._parser.feed(self._next_slice()))
                else:
                    break
            self._hold(self._incomplete_bytes())
        except ProtocolViolation as violation:
            self.is_flood |= violation.code == POLICY_VIOLATION
            self._fail(violation.code, violation.reason)
        except Exception:
            self._client_failed()

    def _hold(self, size: int) -> None:
        if size != self._held:
            before, self._held = self._held, size
            self._budget.change(before, size)
            if size and self._unfinished is None:
                self._await_completion()

    def _await_completion(self) -> None:
        self._unfinished = self._loop.call_later(_MESSAGE_SECONDS, self._check_completion, self._completed)

    def _check_completion(self, completed: int) -> None:
        self._unfinished = None
        if self._held and self._receiving:
            if self._completed == completed and not self._paused:
                self._fail(POLICY_VIOLATION, "a message took too long")
            else:
                self._await_completion()

    def _client_failed(self) -> None:
        _log.exception("client failed")
        self._fail(INTERNAL_ERROR, "internal error")

    def _next_slice(self, size: int = SLICE_BYTES) -> memoryview:
        data = self._unparsed
        self._unparsed = data[size:] if len(data) > size else _NOTHING
        return data[:size]

    # The end

    def _report_closing(self) -> None:
        """Report the end of a connection that is about to be aborted after its time limit."""

    def _abort_later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(1, self._abort_if_stalled, _CLOSING_SECONDS - 1, self.unsent())

    def _abort_if_stalled(self, seconds_left: int, unsent_before: int) -> None:
        """Abort after the time limit, or as soon as the peer has read none of the waiting bytes for a second."""
        unsent = self.unsent()
        if not seconds_left or unsent >= unsent_before > 0:
            self._report_closing()
            self.abort()
        else:
            self._timer = self._loop.call_later(1, self._abort_if_stalled, seconds_left - 1, unsent)
