"""The interface of the parsers of a connection, and the parser of WebSocket frames. The library picows splits and
unmasks frames in C.

A picows protocol controls its transport itself: it does the handshake, closes on errors, and logs each connection. Its
handshake rejects browsers that send `Connection: keep-alive, Upgrade`. For these reasons, this module gives it a
transport that does nothing, and a constant handshake. Reserved bits and some close codes are checked by this module and
`framing`, because picows does not check them. `framing` also builds the server's frames.

Between two frames, a picows protocol has no state that belongs to its connection. So a connection uses a protocol only
within a frame, and idle connections need none. A protocol is not reused after a close frame, because it remembers the
frame, or after a large frame, because its buffer never shrinks. Most close frames are parsed without it (see
`framing.parse_single_close`).
"""

import logging
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from picows import WSAutoPingStrategy, WSFrame, WSListener, WSTransport
from picows import picows as _picows

from services.edge.gateway.framing import CLOSE, PROTOCOL_ERROR, SILENT_LOGGER, ParsedFrame, ProtocolViolation

Item_co = TypeVar("Item_co", covariant=True)

_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_BUFFER_BYTES = 4096
_LARGE_BUFFER_BYTES = 64 * 1024
_MAX_SPARE = 64


class Parser(Protocol[Item_co]):
    """The parser of one connection. The parser rejects malformed frames and single frames over the size limit."""

    violation: ProtocolViolation | None
    """Set once the peer has broken the protocol. `feed` has then returned the frames before the violation, and must not
    be called again."""

    @property
    def buffered(self) -> int:
        """The bytes of the incomplete item."""

    def feed(self, data: memoryview) -> Sequence[Item_co]:
        """Parse these bytes. Returns the items that they complete, in order."""


class _Protocol(Protocol):
    """The part of picows' protocol that this module uses. picows' stubs do not declare this part."""

    @property
    def transport(self) -> WSTransport: ...

    def connection_made(self, transport: object) -> None: ...

    def get_buffer(self, hint: int) -> memoryview: ...

    def buffer_updated(self, size: int) -> None: ...


class _NullTransport:
    """Takes the place of a transport and of the transport's socket. It accepts every call and does nothing."""

    def get_extra_info(self, name: str) -> object:
        return self if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        """The result is never 0, because picows would then write to the socket itself."""
        return 1

    def fileno(self) -> int:
        return -1

    def getsockopt(self, *_: object) -> int:
        return 0

    def _ignore(self, *_: object) -> None:
        pass

    setsockopt = write = writelines = close = abort = _ignore


_NULL_TRANSPORT: Final = _NullTransport()


class _FrameListener(WSListener):
    """One picows protocol, and the frames that it has parsed."""

    __slots__ = ("_protocol", "buffered", "frames", "is_idle", "reusable", "violation")

    def __init__(self, limit: int) -> None:
        self.frames: list[ParsedFrame] = []
        self.violation: ProtocolViolation | None = None
        self.is_idle = True
        """Whether no frame is incomplete."""
        self.buffered = 0
        """The bytes of an incomplete frame."""
        self.reusable = True
        self._protocol: _Protocol = _picows.WSProtocol(  # type: ignore[attr-defined]
            None, None, False, lambda _: self, logging.LoggerAdapter(SILENT_LOGGER), True, None, False, 0, 0,
            WSAutoPingStrategy.PING_WHEN_IDLE, False, limit, None, _BUFFER_BYTES,
        )  # fmt: skip
        self._protocol.connection_made(_NULL_TRANSPORT)
        self.feed(memoryview(_HANDSHAKE))
        self.buffered = 0

    def feed(self, data: memoryview) -> None:
        protocol = self._protocol
        while data and self.violation is None:
            buffer = protocol.get_buffer(-1)
            self.reusable = self.reusable and len(buffer) <= _LARGE_BUFFER_BYTES
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            data = data[size:]
            self.is_idle = False
            self.buffered += size
            protocol.buffer_updated(size)
            if protocol.transport.is_close_frame_sent and self.violation is None:
                sent = protocol.transport.close_handshake.sent
                assert sent is not None
                self.violation = ProtocolViolation(sent.code.value, sent.reason)

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if self.violation is not None:
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.violation = ProtocolViolation(PROTOCOL_ERROR, "reserved bits must be 0")
            return
        opcode: int = frame.msg_type.value
        self.frames.append(ParsedFrame(opcode, bool(frame.fin), frame.get_payload_as_bytes()))
        self.buffered = frame.tail_size
        self.is_idle = self.buffered == 0
        if opcode == CLOSE:
            self.reusable = False


class FrameParserPool:
    """Makes parsers for payloads up to `limit` bytes. These parsers share idle picows protocols."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spare: list[_FrameListener] = []

    def __call__(self) -> "FrameParser":
        return FrameParser(self)

    def acquire(self) -> _FrameListener:
        return self._spare.pop() if self._spare else _FrameListener(self._limit)

    def release(self, listener: _FrameListener) -> None:
        if listener.reusable and len(self._spare) < _MAX_SPARE:
            self._spare.append(listener)


class FrameParser:
    """Parses one connection's frames. `is_idle`: whether the parser holds no part of a frame. If so, the next frame may
    be parsed without it."""

    __slots__ = ("_listener", "_pool", "is_idle", "violation")

    def __init__(self, pool: FrameParserPool) -> None:
        self._pool = pool
        self._listener: _FrameListener | None = None
        self.is_idle = True
        self.violation: ProtocolViolation | None = None

    @property
    def buffered(self) -> int:
        return 0 if self._listener is None else self._listener.buffered

    def feed(self, data: memoryview) -> list[ParsedFrame]:
        listener = self._listener or self._pool.acquire()
        listener.feed(data)
        frames, listener.frames = listener.frames, []
        self.violation, self._listener = listener.violation, listener
        self.is_idle = listener.is_idle and listener.violation is None
        if listener.is_idle:
            self._listener = None
            self._pool.release(listener)
        return frames
