"""WebSocket frames as bytes (RFC 6455, section 5). This module builds the server's frames, and parses the most frequent
frames. It joins fragments into whole messages, and checks sizes and text encoding."""

import codecs
import logging
import struct
from typing import Final

import msgspec
from websockets.speedups import apply_mask

from services.edge.canonical.frames import Binary, Frame

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
PROTOCOL_ERROR, INVALID_TEXT, POLICY_VIOLATION, TOO_BIG, INTERNAL_ERROR, TRY_LATER = 1002, 1007, 1008, 1009, 1011, 1013
_REASON_BYTES = 123
_pack_head: Final = struct.Struct("!BBH").pack
_pack_large_head: Final = struct.Struct("!BBQ").pack
_SENDABLE_CODES = {1000, 1001, 1002, 1003, *range(1007, 1015)}
SILENT_LOGGER = logging.getLogger(f"{__name__}.silent")
"""The logger for the libraries of the parsers. These libraries log data that peers send, and this logger drops it."""
SILENT_LOGGER.disabled = True
_MASKED = 0x80
_LENGTH = 0x7F
_EXTENDED = {126: 2, 127: 8}
"""The number of further bytes that contain the length, for these two values of the length in a frame's second byte."""


class ProtocolViolation(Exception):
    """The peer has broken the protocol, so the connection is closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ParsedFrame(msgspec.Struct, frozen=True, gc=False):
    """One frame of a client with a valid header, unmasked. `final`: whether the frame is the last frame of its
    message."""

    opcode: int
    final: bool
    payload: bytes


def frame_bytes(opcode: int, payload: bytes) -> bytes:
    """Build a frame of the server with a whole message or a control frame. Servers do not mask frames, so all clients
    receive the same bytes."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65_536:
        return _pack_head(0x80 | opcode, 126, size) + payload
    return _pack_large_head(0x80 | opcode, 127, size) + payload


def parse_text(data: bytes, start: int, limit: int) -> tuple[bytes, int]:
    """The fast path for most reads. Parses the masked frame at `start`, if it is a whole ASCII text message within the
    limit. Returns its text and its end. If the end is 0, the frame is of another kind, and the parser must read it."""
    body, received = start + 6, len(data)
    if received < body or data[start] != 0x80 | TEXT:
        return b"", 0
    size = data[start + 1] - 0x80
    if size == 126:
        body += 2
        if received < body:
            return b"", 0
        size = data[start + 2] << 8 | data[start + 3]
        if size < 126:
            return b"", 0
    elif size == 127:
        return b"", 0
    end = body + size
    if not 0 <= size <= limit or end > received:
        return b"", 0
    text = apply_mask(data[body:end], data[body - 4 : body])
    return (text, end) if text.isascii() else (b"", 0)


def parse_single_close(data: bytes) -> bytes | None:
    """Return the payload of `data`, if `data` is exactly one masked close frame with an ASCII reason, and with a valid
    code or none. If the result is None, the parser must read the frame."""
    size = len(data) - 6
    if size < 0 or size == 1 or size > 125 or data[0] != 0x80 | CLOSE or data[1] != 0x80 | size:
        return None
    payload = apply_mask(data[6:], data[2:6])
    if size and not (_is_sendable(int.from_bytes(payload[:2], "big")) and payload[2:].isascii()):
        return None
    return payload


def message_bytes(message: Frame) -> bytes:
    return frame_bytes(BINARY, message.data) if isinstance(message, Binary) else frame_bytes(TEXT, message)


def close_frame(code: int, reason: str) -> bytes:
    """Build a close frame. A reason over 123 bytes is cut between characters."""
    text = reason.encode()
    if len(text) > _REASON_BYTES:
        text = text[:_REASON_BYTES].decode(errors="ignore").encode()
    return frame_bytes(CLOSE, code.to_bytes(2, "big") + text)


def close_echo(payload: bytes) -> bytes:
    """The reply to a peer's close frame, with the same code. Raises ProtocolViolation for a code that must not be
    sent."""
    code = payload[:2]
    if code and not _is_sendable(int.from_bytes(code, "big")):
        raise ProtocolViolation(PROTOCOL_ERROR, "invalid close code")
    return frame_bytes(CLOSE, code)


def _is_sendable(code: int) -> bool:
    return code in _SENDABLE_CODES or 3000 <= code < 5000


class FragmentAssembler:
    """Joins the data frames of one connection into messages. The caller handles control frames between fragments."""

    __slots__ = ("_fragments", "_opcode", "_size", "kept", "limit")

    def __init__(self, limit: int, kept: int | None = None) -> None:
        self.limit = limit
        self.kept = kept
        """The number of bytes that are kept of a message over the limit, or None to keep all."""
        self._size = 0
        self._opcode = CONTINUATION
        self._fragments: bytearray | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no message is incomplete."""
        return self._fragments is None

    @property
    def buffered(self) -> int:
        """The bytes of the incomplete message."""
        return 0 if self._fragments is None else len(self._fragments)

    def add(self, frame: ParsedFrame) -> Frame | None:
        """Add a frame. Returns the message that this frame completes, or None. Raises ProtocolViolation."""
        opcode, payload = frame.opcode, frame.payload
        if self._fragments is None:
            if opcode == CONTINUATION:
                raise ProtocolViolation(PROTOCOL_ERROR, "continuation of no message")
            if frame.final:
                return self._message(opcode, payload)
            self._opcode, self._fragments, self._size = opcode, bytearray(payload), len(payload)
            return None
        if opcode != CONTINUATION:
            raise ProtocolViolation(PROTOCOL_ERROR, "a new message began within a fragmented one")
        return self._continue(frame.final, payload)

    def _continue(self, final: bool, payload: bytes) -> Frame | None:
        assert self._fragments is not None
        self._size += len(payload)
        if self._size > self.limit:
            raise ProtocolViolation(TOO_BIG, f"message over {self.limit} bytes")
        self._fragments += payload if self.kept is None else payload[: max(0, self.kept - len(self._fragments))]
        if not final:
            return None
        joined, self._fragments = bytes(self._fragments), None
        return self._message(self._opcode, joined)

    def _message(self, opcode: int, payload: bytes) -> Frame:
        if opcode != TEXT:
            return Binary(payload)
        if not payload.isascii():
            is_truncated = self.kept is not None and len(payload) >= self.kept
            try:
                codecs.utf_8_decode(payload, "strict", not is_truncated)
            except UnicodeDecodeError as error:
                raise ProtocolViolation(INVALID_TEXT, f"invalid UTF-8 at byte {error.start}") from None
        return payload


class FrameTruncator:
    """Shortens the frames of a WebSocket stream before they are parsed: of data frames, only the first `kept` bytes
    remain. If a frame makes its message exceed `limit`, its head is rewritten with the size of the message. All other
    bytes pass unchanged, even those that break the protocol."""

    __slots__ = ("_dropping", "_head", "_kept", "_limit", "_message_bytes", "_passing")

    def __init__(self, kept: int, limit: int) -> None:
        self._kept = kept
        self._limit = limit
        self._head = bytearray()
        """The head of a frame whose head is incomplete."""
        self._message_bytes = 0
        """The bytes of all frames of the current message so far."""
        self._passing = self._dropping = 0
        """The number of the current frame's bytes that still pass, and the number of bytes after these that are
        dropped."""

    @property
    def is_idle(self) -> bool:
        """Whether the next byte begins a frame."""
        return not (self._head or self._passing or self._dropping)

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while at < len(data):
            if self._passing:
                out.append(data[at : at + self._passing])
                at += len(out[-1])
                self._passing -= len(out[-1])
            elif self._dropping:
                dropped = min(self._dropping, len(data) - at)
                at += dropped
                self._dropping -= dropped
            else:
                at = self._read_head(data, at, out)
        return b"".join(out)

    def _read_head(self, data: bytes, at: int, out: list[bytes]) -> int:
        """Parse a frame's head as far as its bytes have arrived. Returns the position after the parsed part."""
        head = self._head
        while at < len(data):
            head.append(data[at])
            at += 1
            if len(head) >= 2 and len(head) == _head_bytes(head[1]):
                out.append(self._begin(bytes(head)))
                head.clear()
                break
        return at

    def _begin(self, head: bytes) -> bytes:
        """Begin a frame. Returns the head that is passed on for it."""
        extended = _EXTENDED.get(head[1] & _LENGTH, 0)
        size = int.from_bytes(head[2 : 2 + extended], "big") if extended else head[1] & _LENGTH
        opcode = head[0] & 0x0F
        if opcode >= CLOSE:
            self._passing = size
            return head
        self._message_bytes = size + (self._message_bytes if opcode == CONTINUATION else 0)
        if self._message_bytes > self._limit:  # this makes the parser reject the message
            self._passing = self._message_bytes
        else:
            self._passing = min(size, self._kept)
            self._dropping = size - self._passing
        return head if self._passing == size else _resized(head, self._passing)


def _resized(head: bytes, size: int) -> bytes:
    """The frame head with its size replaced by `size`, encoded as briefly as possible."""
    extended = _EXTENDED.get(head[1] & _LENGTH, 0)
    short = size if size < 126 else 126 if size < 65_536 else 127
    length = size.to_bytes(_EXTENDED[short], "big") if short in _EXTENDED else b""
    return bytes((head[0], head[1] & _MASKED | short)) + length + head[2 + extended :]


def _head_bytes(second: int) -> int:
    return 2 + _EXTENDED.get(second & _LENGTH, 0) + (4 if second & _MASKED else 0)
