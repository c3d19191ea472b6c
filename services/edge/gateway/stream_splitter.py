"""A plain TCP connection's bytes as frames, pure: JSON values if the first of them begins like one, else lines.

JSON values come joined or apart, in packets as it pleases the network; where one ends is told by its brackets and
quotes alone, and no byte is looked at again with the next packet. What is wrong inside a value is for its dialect to
say. Only when there is no telling where the next one begins, the stream is broken: what is wrong comes as the last
frame, which no dialect understands.
"""

import re
from typing import Protocol

from services.edge.canonical.frames import Binary, Frame
from services.edge.gateway.framing import PROTOCOL_ERROR, TOO_BIG, ProtocolViolation

_BLANKS = re.compile(rb"[ \t\r\n]*+")
_BESIDE_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_WITHIN_QUOTES = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WORD = re.compile(rb"[-+.\w]*+")
"""A number, true, false or null; something misspelt, too."""
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}
_BREAKS = re.compile(rb"\n|\v|\f|\r|\x1c|\x1d|\x1e|\xc2\x85|\xe2\x80\xa8|\xe2\x80\xa9")
"""All that some reader may take for the end of a line, in UTF-8 (one by one: so most bytes are skipped quickly)."""


class _Form(Protocol):
    """What a stream consists of."""

    def end(self, buffer: bytearray, start: int) -> int:
        """Where the frame that begins at `start` ends; 0: not in the buffer. Raises Violation."""

    def one_line(self, frame: bytes) -> bytes: ...


class StreamSplitter:
    """Both directions of one stream; frames have `limit` bytes at most. See services.edge.gateway.parser.Parser."""

    __slots__ = ("_buffer", "_form", "_limit", "violation")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._form: _Form | None = None
        self.violation: ProtocolViolation | None = None

    def feed(self, data: memoryview) -> list[bytes]:
        buffer, frames = self._buffer, list[bytes]()
        buffer += data
        start = _after_blanks(buffer, 0)
        try:
            while start < len(buffer) and (end := self._end(start)):
                frames.append(bytes(buffer[start:end]))
                start = _after_blanks(buffer, end)
        except ProtocolViolation as violation:
            self.violation = violation
            frames.append(bytes(buffer[start : start + self._limit]))
            start = len(buffer)
        del buffer[:start]
        return frames

    def remainder(self) -> list[bytes]:
        """The stream has ended: what was not complete is a frame of its own."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return [rest] if rest else []

    def to_wire(self, frame: Frame, line_ending: bytes) -> bytes:
        """A frame as it is sent: one line, whatever users have written."""
        assert not isinstance(frame, Binary), "dialects know that there are no binary frames here"
        assert self._form is not None, "nobody speaks before the client does"
        return self._form.one_line(frame) + line_ending

    def _end(self, start: int) -> int:
        buffer = self._buffer
        if self._form is None:
            self._form = _Values() if buffer[start] in _CLOSING else _Lines()
        end = self._form.end(buffer, start)
        if (end or len(buffer)) - start > self._limit:
            raise ProtocolViolation(TOO_BIG, f"message over {self._limit} bytes")
        return end


class _Values:
    """`_seen` bytes of the present value are behind us."""

    __slots__ = ("_closings", "_quoted", "_seen")

    def __init__(self) -> None:
        self._seen = 0
        self._closings = bytearray()
        """Of the open brackets, the innermost last."""
        self._quoted = False

    def end(self, buffer: bytearray, start: int) -> int:
        at = start + self._seen
        while (at := self._pass(buffer, at)) < len(buffer):
            is_word = not self._quoted and not self._closings and at > start
            if not is_word:
                if self._quoted and buffer[at] == _BACKSLASH:  # the other half of it is still to come
                    break
                self._take(buffer[at])
                at += 1
            if is_word or not (self._quoted or self._closings):
                self._seen = 0
                return at
        self._seen = at - start
        return 0

    def one_line(self, frame: bytes) -> bytes:
        """Breaks beyond ASCII stand within strings, others between tokens."""
        return _BREAKS.sub(lambda found: b" " if len(found[0]) == 1 else b"\\u%04x" % ord(found[0].decode()), frame)

    def _pass(self, buffer: bytearray, at: int) -> int:
        """Up to the next byte that counts."""
        pattern = _WITHIN_QUOTES if self._quoted else _BESIDE_BRACKETS if self._closings else _WORD
        return _end_of(pattern, buffer, at)

    def _take(self, byte: int) -> None:
        if byte == _QUOTE:
            self._quoted = not self._quoted
        elif byte in _CLOSING:
            self._closings.append(_CLOSING[byte])
        elif not self._closings or self._closings.pop() != byte:
            raise ProtocolViolation(PROTOCOL_ERROR, "no JSON value")


class _Lines:
    """`_seen` bytes of the present line are behind us."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen = 0

    def end(self, buffer: bytearray, start: int) -> int:
        end = buffer.find(b"\n", start + self._seen)
        self._seen = 0 if end >= 0 else len(buffer) - start
        return max(end, 0)

    def one_line(self, frame: bytes) -> bytes:
        return _BREAKS.sub(b" ", frame)


def _after_blanks(buffer: bytearray, at: int) -> int:
    return _end_of(_BLANKS, buffer, at)


def _end_of(pattern: re.Pattern[bytes], buffer: bytearray, at: int) -> int:
    found = pattern.match(buffer, at)
    assert found is not None
    return found.end()
