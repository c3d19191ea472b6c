"""Connections for asyncio. Thousands of them can be in one process. WebSockets use picows, and plain TCP an asyncio
protocol.

A frame is decoded where it arrives, and its event is passed directly to a listener, without a queue or another task.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from dragoman_client.codec.base import ClientRequest, Codec
from dragoman_client.codec.events import ReceivedPart, ServerReply
from dragoman_client.errors import ClientError, ConnectionEnded, Unreachable
from dragoman_client.pending import UnansweredRequests, check, no_reply

_TEXT, _BINARY, _CLOSE, _PING = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE, WSMsgType.PING
_HANDSHAKE_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
_BUFFER_BYTES = 2048
_FRAME_BYTES = 2**31 - 1
_ABNORMAL, _NO_CODE = 1006, 1005
_PORTS = {"ws": 80, "wss": 443}
_ENDED = "the server ended the connection"


class Listener(Protocol):
    """Receives a connection's events. `now` is in nanoseconds of the monotonic clock."""

    def received(self, event: Any, now: int) -> None:
        """Handle an event that is no reply, for example a message of this client that the server echoes."""

    def replied(self, reply: ServerReply, now: int) -> None:
        """Handle a reply whose request did not wait for it."""

    def ended(self) -> None:
        """Handle the end of the connection by the server or the network."""


class NullListener:
    """A listener for clients that only wait for replies."""

    def received(self, event: Any, now: int) -> None:
        return

    def replied(self, reply: ServerReply, now: int) -> None:
        return

    def ended(self) -> None:
        return


class AsyncConnection(ABC):
    """A connection, which `connect` makes. `decode` is used instead of the codec's own method. Its events that are no
    ServerReply are passed to the listener."""

    def __init__(self, codec: Codec, listener: Listener, decode: Callable[[bytes], Any] | None = None) -> None:
        self.close_code = _ABNORMAL
        """The code of the server's close frame, or 1006 if there was none."""
        self.close_reason = b""
        self.pong_sent_at = 0.0
        """The monotonic time of the last pong, or 0 before the first one."""
        self._decode = decode or codec.decode
        self._listener = listener
        self._unanswered = UnansweredRequests[asyncio.Future[ServerReply]](codec)
        self._requests = self._unanswered.requests
        self._closing = False
        self._ended = asyncio.Event()

    @property
    def unanswered(self) -> int:
        """The number of requests without a reply."""
        return len(self._requests)

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    # Sending

    @abstractmethod
    def send(self, frame: bytes) -> None:
        """Send a frame. If the connection has ended, no exception is raised, because the listener gets `ended`."""

    def start(self, request: ClientRequest) -> asyncio.Future[ServerReply]:
        """Send a request. Returns a future for its reply, which may be an error. The future raises ConnectionEnded if
        there is no reply."""
        assert request.reply is not None, "nothing answers it"
        future: asyncio.Future[ServerReply] = asyncio.get_running_loop().create_future()
        if self._ended.is_set():
            self._abandon(future)
        else:
            self._unanswered.add(request, future)
            for frame in (*request.before, request.frame):
                self.send(frame)
        return future

    async def request(self, request: ClientRequest, seconds: float = 30.0) -> ServerReply:
        """Send a request, and wait for its reply. Raises ConnectionEnded, NoReply, RequestRejected."""
        try:
            async with asyncio.timeout(seconds):
                reply = await self.start(request)
        except TimeoutError:
            raise no_reply(request, seconds) from None
        return check(request, reply)

    async def close(self) -> None:
        """Close the connection in order. Frames that the server has sent before are still received."""
        self._closing = True
        if self._ended.is_set():
            return
        self._start_closing()
        try:
            await asyncio.wait_for(self._ended.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            self.abort()

    @abstractmethod
    def abort(self) -> None:
        """End the connection without a closing handshake, as a network failure would do."""

    @property
    def ending(self) -> ConnectionEnded:
        """The end of the connection, as an exception."""
        reason = f": {self.close_reason.decode(errors='replace')}" if self.close_reason else ""
        code = "" if self.close_code == _ABNORMAL else f" ({self.close_code}{reason})"
        return ConnectionEnded(_ENDED + code, self.close_code)

    async def wait_ended(self) -> None:
        await self._ended.wait()

    @abstractmethod
    def _start_closing(self) -> None: ...

    # Receiving

    def _handle(self, event: Any) -> None:
        """Pass an event to the request that it answers. The listener gets each event that is no ServerReply, and a
        ServerReply while no request waits for one."""
        if self._requests:
            found = self._unanswered.match(event)
            if found is not None and not found[1].done():
                found[1].set_result(found[0])
        elif type(event) is ServerReply:
            self._listener.replied(event, time.monotonic_ns())
        if type(event) is not ServerReply:
            self._listener.received(event, time.monotonic_ns())

    def _lost(self) -> None:
        self._ended.set()
        for future in self._unanswered.clear():
            if not future.done():
                self._abandon(future)
        if not self._closing:
            self._listener.ended()

    def _abandon(self, future: asyncio.Future[ServerReply]) -> None:
        future.set_exception(self.ending)
        future.exception()  # this marks the exception as read, so that asyncio does not log it


class AsyncWebSocket(WSListener, AsyncConnection):
    _transport: WSTransport | None = None

    def send(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.send(_TEXT, frame)

    def send_binary(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.send(_BINARY, frame)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def _start_closing(self) -> None:
        assert self._transport is not None
        self._transport.send_close(WSCloseCode.OK)

    # picows.WSListener

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is _TEXT:
            event = self._decode(frame.get_payload_as_bytes())
            if self._requests:
                self._handle(event)
            elif type(event) is ServerReply:
                self._listener.replied(event, time.monotonic_ns())
            else:
                self._listener.received(event, time.monotonic_ns())
        elif kind is _BINARY:
            self._handle(ReceivedPart(frame.get_payload_as_bytes()))
        elif kind is _PING:
            if not self._closing:
                self.pong_sent_at = time.monotonic()
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            payload = frame.get_payload_as_bytes()
            self.close_code, self.close_reason = _code_of(payload), payload[2:]
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._lost()


class AsyncTcp(asyncio.Protocol, AsyncConnection):
    """A TCP connection, on which each frame of the server is a line."""

    def __init__(self, codec: Codec, listener: Listener, decode: Callable[[bytes], Any] | None = None) -> None:
        AsyncConnection.__init__(self, codec, listener, decode)
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def send(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.write(frame + b"\n")

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _start_closing(self) -> None:
        assert self._transport is not None
        self._transport.write_eof()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._handle(self._decode(line))

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()


def _code_of(payload: bytes) -> int:
    return int.from_bytes(payload[:2], "big") if payload else _NO_CODE


class InvalidAddress(ClientError):
    """The text is not the address of a server."""


class ServerAddress(NamedTuple):
    """`url` has the path of the dialect, unless the text itself had a path. Plain TCP has no path, so the server
    detects the dialect from the first frame."""

    url: str
    host: str
    port: int
    is_tcp: bool


def parse_address(text: str, codec: Codec) -> ServerAddress:
    """Parse an address. Raises InvalidAddress."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidAddress(f"{text} is no address of a server: {error}") from error
    if parts.scheme not in ("ws", "wss", "tcp") or not host:
        raise InvalidAddress(f"{text} is no address of a server, such as ws://HOST:PORT, wss://HOST or tcp://HOST:PORT")
    if parts.scheme == "tcp":
        if not port or parts.path.strip("/"):
            raise InvalidAddress(f"{text} is no address of plain TCP, such as tcp://HOST:PORT")
        return ServerAddress(text, host, port, is_tcp=True)
    path = parts.path if parts.path else codec.path
    return ServerAddress(parts._replace(path=path).geturl(), host, port or _PORTS[parts.scheme], is_tcp=False)


async def connect(
    server: str, codec: Codec, listener: Listener, decode: Callable[[bytes], Any] | None = None
) -> AsyncConnection:
    """Connect to an address (ws://host:port). Raises Unreachable, InvalidAddress."""
    place = parse_address(server, codec)
    if place.is_tcp:
        return await _connect_tcp(place, AsyncTcp(codec, listener, decode))
    try:
        _, connection = await ws_connect(
            lambda: AsyncWebSocket(codec, listener, decode),
            place.url,
            websocket_handshake_timeout=_HANDSHAKE_SECONDS,
            enable_auto_pong=False,
            read_buffer_init_size=_BUFFER_BYTES,
            max_frame_size=_FRAME_BYTES,
        )
    except (OSError, WSError, TimeoutError) as error:
        raise Unreachable(f"{server} cannot be reached: {error}") from error
    if connection is None:  # the connection ended during the handshake
        raise Unreachable(f"{server} ended the connection")
    assert isinstance(connection, AsyncWebSocket)
    return connection


async def _connect_tcp(place: ServerAddress, connection: AsyncTcp) -> AsyncTcp:
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            await asyncio.get_running_loop().create_connection(lambda: connection, place.host, place.port)
    except OSError as error:  # TimeoutError is an OSError
        raise Unreachable(f"{place.url} cannot be reached: {error}") from error
    return connection
