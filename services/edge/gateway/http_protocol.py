"""uvicorn's HTTP protocol, with limits for the input of clients. The head of a request, and all bytes outside a body,
have a maximum size. A head must arrive within a time limit, and all bytes have a limited rate. Upgrades to a WebSocket
are passed to `upgrade`."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from services.edge.gateway.flood import PART_BYTES, FloodGuard
from services.edge.gateway.handshake import HandshakeRequest, http_date
from shared.settings.limits import ConnectionLimits

_HEAD_BYTES = 16 * 1024
"""The most bytes of a head, and the most bytes between two bytes of a body. The bytes between bytes of a body are sizes
and extensions of chunks, and trailers."""
_HEADERS = 200
"""The most headers of a request. Thousands of short ones take milliseconds."""
_FRAMING_PER_BYTE = 8
"""The most bytes of chunked framing for each byte of the body. A chunk of one byte needs five."""
_PIECE_BYTES = 4096
"""The most bytes that are parsed at a time."""
_TURN_BYTES = 8192
"""After this number of bytes outside a body, the event loop serves other connections first. These bytes may be the
framing of 1,600 chunks."""
_FRAMING_COST = 24
"""A byte outside a body counts as this number of bytes against the rate. So a chunk counts as much as a small WebSocket
fragment."""
_PIPELINED = 8
"""The most requests of a connection that wait for the responses to earlier requests. Real clients send no such
requests."""
_NOTHING = memoryview(b"")

Upgrade = Callable[[HandshakeRequest, asyncio.Transport, bytes], None]
"""A function that takes over the connection of an upgrade request, with the bytes that arrived after the head."""


class Turns:
    def __init__(self) -> None:
        self._waiting = deque[Callable[[], None]]()

    def wait(self, work: Callable[[], None]) -> None:
        """Do this work after all work that already waits, in an iteration of the event loop of its own."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        work = self._waiting.popleft()
        if self._waiting:
            self._go_on()
        work()


class RequestLimits(NamedTuple):
    """`head_seconds`: the time limit for receiving one whole request head, and for waiting for the next one. `turns`:
    the queue of connections that have sent many bytes outside bodies. All connections share it."""

    head_seconds: float
    rates: ConnectionLimits
    turns: Turns


class HttpProtocol(HttpToolsProtocol):
    """`admit`: whether a client of this address may connect. `ended` is called when the connection is upgraded or ends.
    `address`: the client's address, or empty if it is the peer's address."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        upgrade: Upgrade,
        limits: RequestLimits,
        admit: "Callable[[HttpProtocol, str], bool]",
        ended: "Callable[[HttpProtocol], None]",
        address: str = "",
    ) -> None:
        super().__init__(config, state, app_state={})
        self.is_flood = False
        self._upgrade = upgrade
        self._head_seconds = limits.head_seconds
        self._turns = limits.turns
        self._flood = FloodGuard(limits.rates)
        self._admit = admit
        self._ended = ended
        self._address = address
        self._deadline: asyncio.TimerHandle | None = None
        """The time limit for the next head. It runs while no request is served."""
        self._is_head = self._is_upgraded = False
        self._allowance = _HEAD_BYTES
        """How many more bytes may arrive before the next byte of a body, or before the end of the message."""
        self._unparsed = _NOTHING
        self._received = 0
        """The number of received bytes that have not been counted against the rate yet."""
        self._piece = _NOTHING
        """The piece that is being parsed."""
        self._body_bytes = 0
        """The bytes of the piece that belong to a body."""
        self._completes = False
        """Whether a head or a message has ended in this turn."""
        self._pause: asyncio.TimerHandle | None = None
        self._rests = False
        """Whether nothing is read or parsed until the next turn."""
        self._cycles = deque[RequestResponseCycle]()
        """The requests without a complete response, oldest first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._address:
            self.client = (self._address, 0)
        if self.client is None or not self._admit(self, self.client[0]):
            transport.abort()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        if self._pause is not None:
            self._pause.cancel()
        self._unparsed = _NOTHING
        self._ended(self)
        for cycle in self._cycles:  # the base class notifies only the last request cycle
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    # In

    def data_received(self, data: bytes) -> None:
        self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
        self._received += len(data)
        if not self._rests:
            self._parse()
        else:  # the base class has resumed reading too early
            self.transport.pause_reading()

    def _parse(self) -> None:
        """Parse at most as many bytes as one turn permits."""
        framing, self._completes = 0, False
        while self._unparsed and framing < _TURN_BYTES and not self.transport.is_closing():
            framing += self._parse_piece()
        self._piece = _NOTHING
        if not (self._is_upgraded or self.transport.is_closing()):
            received, self._received = self._received, 0
            self._rest(received if self._completes else max(received, PART_BYTES) + framing * _FRAMING_COST)

    def _parse_piece(self) -> int:
        """Parse one piece. Returns how many of its bytes are outside a body."""
        self._piece, self._unparsed = self._unparsed[:_PIECE_BYTES], self._unparsed[_PIECE_BYTES:]
        size, self._body_bytes = len(self._piece), 0
        self._allowance -= size
        super().data_received(self._piece)  # type: ignore[arg-type]
        self._allowance = min(_HEAD_BYTES, self._allowance + self._body_bytes * (1 + _FRAMING_PER_BYTE))
        if self._allowance < 0:
            self._end_flood()
        return size - self._body_bytes

    def _rest(self, counted: int) -> None:
        """Stop parsing until the next turn. If the rate demands a longer pause for this number of bytes, stop until its
        end."""
        seconds = self._flood.pause_seconds(counted, self.loop.time())
        if self._unparsed or seconds:
            self._rests = True
            self.transport.pause_reading()
            self._pause = self.loop.call_later(seconds, self._turns.wait, self._next_turn)

    def _next_turn(self) -> None:
        self._rests = False
        if self.transport.is_closing():
            return
        if not self.flow.read_paused:
            self.transport.resume_reading()
        if self._unparsed:
            self._parse()

    def _end_flood(self) -> None:
        if self._deadline is not None:
            self.send_400_response("The request's head is too large.")
        else:
            self.is_flood = True
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Send the response with status 400. If earlier requests have no complete response, it would be taken for the
        response to the first of these, so the connection ends after their responses instead."""
        if self._cycles and not self._cycles[-1].more_body:
            self._cycles[-1].keep_alive = False
            return
        if len(self._cycles) > 1 or any(cycle.response_started for cycle in self._cycles):
            self.transport.abort()
            return
        self.server_state.default_headers = [(b"date", http_date().encode())]
        super().send_400_response(msg)
        # Only this response needs the header. The application itself sets the headers of its responses.
        self.server_state.default_headers = []

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        self._is_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignore trailers, because a trailer is no header (RFC 9110, section 6.5.1). Proxies and this edge check only
        heads, so a trailer must not count as a header. Raises ValueError; see `on_headers_complete`."""
        if self._is_head:
            if len(self.headers) == _HEADERS:
                raise ValueError("too many headers")
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the head. Raises ValueError, which ends the parsing with status 400, in four cases. The head is too
        large, it has not exactly one Host (RFC 9112, section 3.2), it requests a tunnel, or too many requests wait."""
        self._is_head = False
        self._completes = True
        self._allowance = _HEAD_BYTES
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests at once")
        if sum((len(name) + len(value) for name, value in self.headers), len(self.url)) > _HEAD_BYTES:
            raise ValueError("too large")
        if self.parser.get_http_version() != "1.0" and sum(name == b"host" for name, _ in self.headers) != 1:
            raise ValueError("not one Host")
        if self.parser.get_method() == b"CONNECT":
            raise ValueError("no tunnels")
        if self.parser.should_upgrade() and not self._should_upgrade():
            return
        before = self.cycle
        self.scope["extensions"] = {"dragoman.abort": {"abort": self.transport.abort}}
        super().on_headers_complete()
        if self.cycle is not before:
            self._cycles.append(self.cycle)
            self._cancel_deadline()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._allowance = _HEAD_BYTES
        self._completes = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._cycles.popleft()
        super().on_response_complete()
        if self.cycle.response_complete:
            self._await_head()

    def handle_websocket_upgrade(self) -> None:
        if self._cycles:
            self.send_400_response("A request is still being answered.")
            return
        assert self.client is not None
        self._cancel_deadline()
        self.connections.discard(self)
        self._ended(self)
        scope = self.scope
        request = HandshakeRequest(scope["method"], self.url, scope["http_version"], self.headers, self.client[0])
        received, self._unparsed = self._after_head() + bytes(self._unparsed), _NOTHING
        self._is_upgraded = True
        self._upgrade(request, self.transport, received)

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore upgrades to other protocols (RFC 9110, section 7.8), by parsing the request again without that header.
        With the header, the parser would take the request's body for the next request, whose headers no proxy has
        checked."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b:%b" % header for header in self.headers if header[0] != b"upgrade"]
        head = b"\r\n".join([*lines, b"\r\n"])
        self.parser = HttpRequestParser(self)  # the old one reads nothing after a `Connection: close`
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the base class does
        self._unparsed = memoryview(head + self._after_head() + bytes(self._unparsed))

    def _after_head(self) -> bytes:
        """The bytes after the head of an upgrade request. The base class calls this while it handles the parser's
        exception, which contains the number of parsed bytes."""
        error = sys.exc_info()[1]
        return bytes(self._piece[error.args[0] :]) if isinstance(error, HttpParserUpgrade) else b""

    # The following methods limit the time for the head of a request.

    def _await_head(self) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(self._head_seconds, self._head_timed_out)

    def _head_timed_out(self) -> None:
        if self.transport.get_write_buffer_size():  # the client is still reading the previous response
            self._await_head()
        else:
            self.transport.abort()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
