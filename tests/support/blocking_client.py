"""Connections of clients for synchronous tests. Every wait has a time limit, and frames can be sent and received
without a codec."""

import select
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from dragoman_client.aio import parse_address
from dragoman_client.codec.base import ClientRequest, Codec
from dragoman_client.codec.events import ReceivedPart, ServerReply
from dragoman_client.errors import ConnectionEnded, Unreachable
from dragoman_client.pending import check, no_reply

SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_ENDED = "the server ended the connection"
_ABNORMAL = 1006
_READ_BYTES = 65536


class BlockingConnection(ABC):
    """Frames over a socket. One thread may receive while another thread sends."""

    @property
    @abstractmethod
    def socket(self) -> socket.socket:
        """The socket of the connection, for sending bytes that are no frames."""

    @abstractmethod
    def send(self, frame: str | bytes | Iterable[str]) -> None:
        """Sends a text, binary data, or a text in fragments. Raises ConnectionEnded."""

    @abstractmethod
    def receive(self, seconds: float | None = SECONDS) -> str | bytes:
        """Receives the next frame. Raises TimeoutError, ConnectionEnded."""

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
    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    @property
    def socket(self) -> socket.socket:
        return self.websocket.socket

    def send(self, frame: str | bytes | Iterable[str]) -> None:
        try:
            self.websocket.send(frame)
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    def receive(self, seconds: float | None = SECONDS) -> str | bytes:
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

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(None)
        self._socket = connected
        self._readable = select.poll()
        self._readable.register(connected, select.POLLIN)
        self._buffer = b""
        self._lines: deque[bytes] = deque()

    @property
    def socket(self) -> socket.socket:
        return self._socket

    def send(self, frame: str | bytes | Iterable[str]) -> None:
        text = frame if isinstance(frame, str | bytes) else "".join(frame)
        try:
            self._socket.sendall((text.encode() if isinstance(text, str) else text) + b"\n")
        except OSError as error:
            raise ConnectionEnded(_ENDED) from error

    def receive(self, seconds: float | None = SECONDS) -> str | bytes:
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


def connect(server: str, codec: Codec, seconds: float = SECONDS) -> BlockingConnection:
    """Connect to an address (ws://host:port). Raises Unreachable, InvalidAddress."""
    place = parse_address(server, codec)
    try:
        if place.is_tcp:
            return BlockingTcp(socket.create_connection((place.host, place.port), timeout=seconds))
        connecting = connect_websocket(
            place.url, max_size=None, max_queue=None, open_timeout=seconds, close_timeout=_CLOSE_SECONDS,
            ping_interval=None, proxy=None, compression=None,
        )  # fmt: skip
        return BlockingWebSocket(connecting.__enter__())
    except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise Unreachable(f"{server} cannot be reached: {error}") from error


class BlockingClient:
    """The connection of an account. Events that answer no request are dropped."""

    def __init__(self, connection: BlockingConnection, codec: Codec) -> None:
        self.connection = connection
        self._codec = codec

    def request(self, request: ClientRequest, seconds: float = SECONDS) -> ServerReply:
        """Sends a request, and receives frames until its reply has arrived.

        Raises NoReply, RequestRejected, ConnectionEnded.
        """
        for sent in (*request.before, request.frame):
            self.connection.send(sent.decode())
        deadline = time.monotonic() + seconds
        while True:
            try:
                frame = self.connection.receive(deadline - time.monotonic())
            except TimeoutError:
                raise no_reply(request, seconds) from None
            event = ReceivedPart(frame) if isinstance(frame, bytes) else self._codec.decode(frame.encode())
            if (reply := self._codec.match(request, event)) is not None:
                return check(request, reply)
