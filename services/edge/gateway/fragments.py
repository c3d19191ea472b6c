"""Assembles WebSocket frames into whole messages: joins fragments, checks sizes and text encoding."""

import codecs

from services.edge.canonical.frames import Binary, Frame
from services.edge.gateway.framing import (
    CONTINUATION,
    INVALID_TEXT,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    ParsedFrame,
    ProtocolViolation,
)


class FragmentAssembler:
    """Takes the data frames of one connection in order; the caller handles control frames between fragments."""

    __slots__ = ("_fragments", "_opcode", "_size", "kept", "limit")

    def __init__(self, limit: int, kept: int | None = None) -> None:
        self.limit = limit
        self.kept = kept
        """Of a longer message only so many bytes remain; None: all."""
        self._size = 0
        self._opcode = CONTINUATION
        self._fragments: bytearray | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no fragmented message is incomplete."""
        return self._fragments is None

    @property
    def buffered(self) -> int:
        """Bytes of the incomplete message."""
        return 0 if self._fragments is None else len(self._fragments)

    def add(self, frame: ParsedFrame) -> Frame | None:
        """The message that this frame completes, or None. Raises ProtocolViolation."""
        opcode, payload = frame.opcode, frame.payload
        if self._fragments is None:
            if opcode == CONTINUATION:
                raise ProtocolViolation(PROTOCOL_ERROR, "continuation of no message")
            if frame.final:
                return self._message(opcode, payload)
            self._opcode, self._fragments, self._size = opcode, bytearray(payload), len(payload)
            return None
        if opcode != CONTINUATION:
            raise ProtocolViolation(PROTOCOL_ERROR, "new message within a fragmented one")
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
