"""Frames by picows, whose parser unmasks and splits in C.

picows drives a transport of its own accord (handshake, close on errors, a log line for each connection), and its
handshake refuses browsers that send `Connection: keep-alive, Upgrade`. So its protocol is given a transport that
leads nowhere, and a handshake that is always the same. It leaves reserved bits and some close codes unchecked: they
are checked here and in `framing`.

Between two frames a protocol of picows knows nothing of its connection. So connections hold one only within a frame,
and an idle one costs nothing. One that has seen a close frame is not used again, for it remembers that (few do:
`framing.sole_close`); nor one that has seen a large frame, for its buffer never shrinks.
"""

import logging
from typing import Final, Protocol

from picows import WSAutoPingStrategy, WSFrame, WSListener, WSTransport
from picows import picows as _picows

from services.edge.gateway.framing import CLOSE, PROTOCOL_ERROR, ParsedFrame, ProtocolViolation

_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_BUFFER_BYTES = 4096
_LARGE_BUFFER_BYTES = 64 * 1024
_SPARE = 64
_UNHEARD = logging.getLogger(f"{__name__}.library")
_UNHEARD.disabled = True


class _Protocol(Protocol):
    """What is used of picows' protocol (which its stubs do not show)."""

    @property
    def transport(self) -> WSTransport: ...

    def connection_made(self, transport: object) -> None: ...

    def get_buffer(self, hint: int) -> memoryview: ...

    def buffer_updated(self, size: int) -> None: ...


class _NullTransport:
    """A transport, and its socket, that take everything and do nothing."""

    def get_extra_info(self, name: str) -> object:
        return self if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        """Never empty: or picows would write to the socket itself."""
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
    """One protocol of picows, and what it has made of the bytes so far."""

    __slots__ = ("_protocol", "frames", "is_idle", "violation", "worn")

    def __init__(self, limit: int) -> None:
        self.frames: list[ParsedFrame] = []
        self.violation: ProtocolViolation | None = None
        self.is_idle = True
        """No part of a frame is waiting for the rest."""
        self.worn = False
        self._protocol: _Protocol = _picows.WSProtocol(  # type: ignore[attr-defined]
            None, None, False, lambda _: self, logging.LoggerAdapter(_UNHEARD), True, None, False, 0, 0,
            WSAutoPingStrategy.PING_WHEN_IDLE, False, limit, None, _BUFFER_BYTES,
        )  # fmt: skip
        self._protocol.connection_made(_NULL_TRANSPORT)
        self.split(memoryview(_HANDSHAKE))

    def split(self, data: memoryview) -> None:
        protocol = self._protocol
        while data and self.violation is None:
            buffer = protocol.get_buffer(-1)
            self.worn = self.worn or len(buffer) > _LARGE_BUFFER_BYTES
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            data = data[size:]
            self.is_idle = False
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
        self.is_idle = frame.tail_size == 0
        if opcode == CLOSE:
            self.worn = True


class PicowsParserPool:
    """Makes parsers that share splitters at rest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spare: list[_FrameListener] = []

    def __call__(self) -> "_PicowsParser":
        return _PicowsParser(self)

    def lend(self) -> _FrameListener:
        return self._spare.pop() if self._spare else _FrameListener(self._limit)

    def take_back(self, splitter: _FrameListener) -> None:
        if not splitter.worn and len(self._spare) < _SPARE:
            self._spare.append(splitter)


class _PicowsParser:
    __slots__ = ("_parsers", "_splitter", "is_idle", "violation")

    def __init__(self, parsers: PicowsParserPool) -> None:
        self._parsers = parsers
        self._splitter: _FrameListener | None = None
        self.is_idle = True
        self.violation: ProtocolViolation | None = None

    def feed(self, data: memoryview) -> list[ParsedFrame]:
        splitter = self._splitter or self._parsers.lend()
        splitter.split(data)
        frames, splitter.frames = splitter.frames, []
        self.violation, self._splitter = splitter.violation, splitter
        self.is_idle = splitter.is_idle and splitter.violation is None
        if splitter.is_idle:
            self._splitter = None
            self._parsers.take_back(splitter)
        return frames
