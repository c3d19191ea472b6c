"""Splits a plain TCP stream into frames, pure (no I/O). If the first byte opens a JSON value, each frame is a JSON
value. Otherwise each frame is a line.

Only brackets and quotes determine the end of a JSON value, and no byte is scanned twice. Errors inside a value are
detected by its dialect. If the start of the next value cannot be determined, the stream ends. The malformed data is its
last frame, which no dialect can decode.
"""

import re
from typing import Protocol

from services.edge.canonical.frames import Binary, Frame
from services.edge.gateway.framing import PROTOCOL_ERROR, TOO_BIG, ProtocolViolation

_BLANKS = re.compile(rb"[ \t\r\n]*+")
_BESIDE_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_WITHIN_QUOTES = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WORD = re.compile(rb"[-+.\w]*+")
"""A number, true, false, null, or a misspelt word."""
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}
_BREAKS = re.compile(rb"\n|\v|\f|\r|\x1c|\x1d|\x1e|\xc2\x85|\xe2\x80\xa8|\xe2\x80\xa9")
"""Every line break, in UTF-8, that any program recognises. (With separate alternatives, the engine skips most
bytes.)"""


class _Format(Protocol):
    """How the frames of a stream end: by lines, or by JSON values."""

    scanned: int
    """The number of bytes of the current frame that have been scanned."""

    def end(self, buffer: bytearray, start: int) -> int:
        """The end of the frame that begins at `start`, or 0 if the frame is incomplete. Raises ProtocolViolation."""

    def one_line(self, frame: bytes) -> bytes: ...


class StreamSplitter:
    """Splits the received bytes of one stream into frames of at most `limit` bytes, and makes lines of the sent
    messages. See services.edge.gateway.parser.Parser."""

    __slots__ = ("_buffer", "_dropped", "_format", "_limit", "kept", "violation")

    def __init__(self, limit: int, kept: int | None = None) -> None:
        self._limit = limit
        self.kept = kept
        """About how many bytes are kept of a longer frame that arrives in parts, or None to keep all."""
        self._dropped = 0
        """The number of bytes of the current frame that were not kept."""
        self._buffer = bytearray()
        self._format: _Format | None = None
        self.violation: ProtocolViolation | None = None

    @property
    def buffered(self) -> int:
        """The bytes of the incomplete frame."""
        return len(self._buffer)

    def feed(self, data: memoryview) -> list[bytes]:
        buffer, frames = self._buffer, list[bytes]()
        buffer += data
        start = _after_blanks(buffer, 0)
        try:
            while start < len(buffer) and (end := self._end(start)):
                frames.append(bytes(buffer[start:end]))
                self._dropped = 0
                start = _after_blanks(buffer, end)
        except ProtocolViolation as violation:
            self.violation = violation
            frames.append(bytes(buffer[start : start + self._limit]))
            start = len(buffer)
        del buffer[:start]
        if self.kept is not None and self._format is not None and self._format.scanned > self.kept:
            self._dropped += self._format.scanned - self.kept
            del buffer[self.kept : self._format.scanned]
            self._format.scanned = self.kept
        return frames

    def remainder(self) -> list[bytes]:
        """The incomplete frame at the end of the stream, if there is one."""
        remainder, self._buffer = bytes(self._buffer), bytearray()
        return [remainder] if remainder else []

    def to_wire(self, frame: Frame, line_ending: bytes) -> bytes:
        """Return the frame as one line. Line breaks inside the frame are replaced."""
        assert not isinstance(frame, Binary), "no protocol has binary frames on TCP"
        assert self._format is not None, "the client sends first"
        return self._format.one_line(frame) + line_ending

    def _end(self, start: int) -> int:
        buffer = self._buffer
        if self._format is None:
            self._format = _Values() if buffer[start] in _CLOSING else _Lines()
        end = self._format.end(buffer, start)
        if (end or len(buffer)) - start + self._dropped > self._limit:
            raise ProtocolViolation(TOO_BIG, f"message over {self._limit} bytes")
        return end


class _Values:
    """Finds the ends of JSON values. `scanned`: the number of bytes of the current value that have been scanned."""

    __slots__ = ("_closings", "_quoted", "scanned")

    def __init__(self) -> None:
        self.scanned = 0
        self._closings = bytearray()
        """The closing brackets that are expected, the innermost one last."""
        self._quoted = False

    def end(self, buffer: bytearray, start: int) -> int:
        at = start + self.scanned
        while (at := self._skip(buffer, at)) < len(buffer):
            is_word = not self._quoted and not self._closings and at > start
            if not is_word:
                if self._quoted and buffer[at] == _BACKSLASH:  # the byte after the backslash has not arrived yet
                    break
                self._accept(buffer[at])
                at += 1
            if is_word or not (self._quoted or self._closings):
                self.scanned = 0
                return at
        self.scanned = at - start
        return 0

    def one_line(self, frame: bytes) -> bytes:
        """Return a value on one line. A line break of more than one byte can only be inside a string. A line break of
        one byte can only be between tokens."""
        return _BREAKS.sub(lambda found: b" " if len(found[0]) == 1 else b"\\u%04x" % ord(found[0].decode()), frame)

    def _skip(self, buffer: bytearray, at: int) -> int:
        """The position of the next significant byte."""
        pattern = _WITHIN_QUOTES if self._quoted else _BESIDE_BRACKETS if self._closings else _WORD
        return _end_of(pattern, buffer, at)

    def _accept(self, byte: int) -> None:
        if byte == _QUOTE:
            self._quoted = not self._quoted
        elif byte in _CLOSING:
            self._closings.append(_CLOSING[byte])
        elif not self._closings or self._closings.pop() != byte:
            raise ProtocolViolation(PROTOCOL_ERROR, "no JSON value")


class _Lines:
    """Finds the ends of lines. `scanned`: the number of bytes of the current line that have been scanned."""

    __slots__ = ("scanned",)

    def __init__(self) -> None:
        self.scanned = 0

    def end(self, buffer: bytearray, start: int) -> int:
        end = buffer.find(b"\n", start + self.scanned)
        self.scanned = 0 if end >= 0 else len(buffer) - start
        return max(end, 0)

    def one_line(self, frame: bytes) -> bytes:
        return _BREAKS.sub(b" ", frame)


def _after_blanks(buffer: bytearray, at: int) -> int:
    return _end_of(_BLANKS, buffer, at)


def _end_of(pattern: re.Pattern[bytes], buffer: bytearray, at: int) -> int:
    found = pattern.match(buffer, at)
    assert found is not None
    return found.end()
