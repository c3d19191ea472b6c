"""Connections for synchronous code. Every wait has a time limit, and frames can be sent and received without a
codec."""

import select
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from dragoman_client import address
from dragoman_client.codec.base import ClientRequest, Codec
from dragoman_client.codec.events import ClientEvent, ReplyKind, ServerReply
from dragoman_client.errors import ConnectionEnded, Unreachable
from dragoman_client.pending import UnansweredRequests, check, no_reply

SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_ENDED = "the server ended the connection"
_ABNORMAL = 1006
_READ_BYTES = 65536

Trace = Callable[[bool, str | bytes], None]
"""A function that gets each frame, and whether the client has sent it."""


class BlockingConnection(ABC):
    """Frames over a socket. One thread may receive while another thread sends."""

    def __init__(self, trace: Trace | None = None) -> None:
        self._trace = trace

    @property
    @abstractmethod
    def socket(self) -> socket.socket:
        """The socket of the connection, for sending bytes that are no frames."""

    def send(self, frame: str | bytes | Iterable[str]) -> None:
        """Send a text, binary data, or a text in fragments. Raises ConnectionEnded."""
        if self._trace is not None:
            self._trace(True, frame if isinstance(frame, str | bytes) else "".join(frame))
        self._send(frame)

    def receive(self, seconds: float | None = SECONDS) -> str | bytes:
        """Receive the next frame. Raises TimeoutError, ConnectionEnded."""
        frame = self._receive(seconds)
        if self._trace is not None:
            self._trace(False, frame)
        return frame

    @abstractmethod
    def _send(self, frame: str | bytes | Iterable[str]) -> None: ...

    @abstractmethod
    def _receive(self, seconds: float | None) -> str | bytes: ...

    @abstractmethod
    def end(self) -> None:
        """Send nothing more. Frames that the server has sent can still be received, until ConnectionEnded is raised."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlockingWebSocket(BlockingConnection):
    def __init__(self, websocket: ClientConnection, trace: Trace | None = None) -> None:
        super().__init__(trace)
        self.websocket = websocket

    @property
    def socket(self) -> socket.socket:
        return self.websocket.socket

    def _send(self, frame: str | bytes | Iterable[str]) -> None:
        try:
            self.websocket.send(frame)
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    def _receive(self, seconds: float | None) -> str | bytes:
        try:
            return self.websocket.recv(seconds if seconds is None else max(seconds, 0))
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    def end(self) -> None:
        self.websocket.close()

    def close(self) -> None:
        self.websocket.close()

    def _ended(self, closed: ConnectionClosed) -> ConnectionEnded:
        if closed.rcvd is None:
            return ConnectionEnded("the connection was lost", _ABNORMAL)
        reason = f": {closed.rcvd.reason}" if closed.rcvd.reason else ""
        return ConnectionEnded(f"{_ENDED} ({closed.rcvd.code}{reason})", closed.rcvd.code)


class BlockingTcp(BlockingConnection):
    """A TCP connection, on which each frame of the server is a line."""

    def __init__(self, connected: socket.socket, trace: Trace | None = None) -> None:
        super().__init__(trace)
        connected.settimeout(None)
        self._socket = connected
        self._readable = select.poll()
        self._readable.register(connected, select.POLLIN)
        self._buffer = b""
        self._lines: deque[bytes] = deque()

    @property
    def socket(self) -> socket.socket:
        return self._socket

    def _send(self, frame: str | bytes | Iterable[str]) -> None:
        text = frame if isinstance(frame, str | bytes) else "".join(frame)
        try:
            self._socket.sendall((text.encode() if isinstance(text, str) else text) + b"\n")
        except OSError as error:
            raise ConnectionEnded(_ENDED) from error

    def _receive(self, seconds: float | None) -> str | bytes:
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._lines:
            left = None if deadline is None else max(deadline - time.monotonic(), 0) * 1000
            if not self._readable.poll(left):
                raise TimeoutError
            *lines, self._buffer = (self._buffer + self._read()).split(b"\n")
            self._lines.extend(lines)
        return self._lines.popleft().decode()

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            raise ConnectionEnded(_ENDED) from error
        if not data:
            raise ConnectionEnded(_ENDED)
        return data

    def end(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


def connect(server: str, codec: Codec, trace: Trace | None = None, seconds: float = SECONDS) -> BlockingConnection:
    """Connect to an address (ws://host:port). Raises Unreachable, InvalidAddress."""
    place = address.parse(server, codec)
    try:
        if place.is_tcp:
            return BlockingTcp(socket.create_connection((place.host, place.port), timeout=seconds), trace)
        connecting = connect_websocket(
            place.url, max_size=None, max_queue=None, open_timeout=seconds, close_timeout=_CLOSE_SECONDS,
            ping_interval=None, proxy=None, compression=None,
        )  # fmt: skip
        return BlockingWebSocket(connecting.__enter__(), trace)
    except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise Unreachable(f"{server} cannot be reached: {error}") from error


class Received(NamedTuple):
    """A received event. `is_answer`: whether it has completed a request."""

    frame: str | bytes
    event: ClientEvent
    is_answer: bool


class BlockingClient:
    """The connection of an account. It sends requests, and receives their replies and events.

    If no other thread receives, `request` receives frames until its reply has arrived, and keeps the other frames in
    `pending`. If another thread calls `receive` all the time, use `start`, which returns a future for the reply.
    """

    def __init__(self, connection: BlockingConnection, codec: Codec) -> None:
        self.connection = connection
        self.codec = codec
        self.pending: deque[Received] = deque()
        self._unanswered = UnansweredRequests[Future[ServerReply]](codec)
        self._lock = threading.Lock()

    def start(self, request: ClientRequest, future: Future[ServerReply] | None = None) -> Future[ServerReply]:
        """Send a request. Returns a future for its reply, which may be an error. The future raises ConnectionEnded if
        there is no reply. If `future` is given, it is used, and its callbacks run before the next frame is received.
        Raises ConnectionEnded."""
        future = Future() if future is None else future
        if request.reply is None:
            future.set_result(ServerReply(ReplyKind.ANY))
        else:
            with self._lock:
                self._unanswered.add(request, future)
        for frame in (*request.before, request.frame):
            self.connection.send(frame.decode())
        return future

    def receive(self, seconds: float | None = SECONDS) -> Received:
        """Receive the next frame. If its event is a reply, the request is completed. Raises TimeoutError,
        ConnectionEnded."""
        try:
            frame = self.connection.receive(seconds)
        except ConnectionEnded as ended:
            with self._lock:
                abandoned = self._unanswered.clear()
            for future in abandoned:
                future.set_exception(ended)
            raise
        event = self.codec.decode_binary(frame) if isinstance(frame, bytes) else self.codec.decode(frame.encode())
        with self._lock:
            found = self._unanswered.match(event)
        if found is not None:
            reply, future = found
            future.set_result(reply)
        return Received(frame, event, is_answer=found is not None)

    def request(self, request: ClientRequest, seconds: float = SECONDS) -> ServerReply:
        """Send a request, and receive frames until its reply has arrived. Raises NoReply, RequestRejected,
        ConnectionEnded."""
        future = self.start(request)
        deadline = time.monotonic() + seconds
        while not future.done():
            try:
                received = self.receive(deadline - time.monotonic())
            except TimeoutError:
                raise no_reply(request, seconds) from None
            if not isinstance(received.event, ServerReply):
                self.pending.append(received)
        return check(request, future.result())
