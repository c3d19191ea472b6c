"""Shortens large frames of clients that are not logged in, while they arrive: their dialect rejects them by their size,
so nobody needs their end, and unfinished ones must not fill the memory. Sans-IO."""

from services.edge.gateway.framing import CLOSE, CONTINUATION

_MASKED = 0x80
_LENGTH = 0x7F
_EXTENDED = {126: 2, 127: 8}
"""Bytes of the length that follow, by the length in the second byte."""


class FrameTruncator:
    """Rewrites a WebSocket stream: of a data frame with more than `kept` bytes the first `kept` remain. A frame by
    which its message exceeds `limit` is announced with the size of the message. Everything else passes, also what
    breaks the protocol."""

    __slots__ = ("_dropping", "_head", "_kept", "_limit", "_message_bytes", "_passing")

    def __init__(self, kept: int, limit: int) -> None:
        self._kept = kept
        self._limit = limit
        self._head = bytearray()
        """Of a frame, until it is complete."""
        self._message_bytes = 0
        """Of the frames of the current message."""
        self._passing = self._dropping = 0
        """Bytes of the current frame that pass, and those after them that do not."""

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
        """Reads as much of a frame's head as there is. Returns the position after it."""
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
        """The head of the frame that passes."""
        extended = _EXTENDED.get(head[1] & _LENGTH, 0)
        size = int.from_bytes(head[2 : 2 + extended], "big") if extended else head[1] & _LENGTH
        opcode = head[0] & 0x0F
        if opcode >= CLOSE:
            self._passing = size
            return head
        self._message_bytes = size + (self._message_bytes if opcode == CONTINUATION else 0)
        if self._message_bytes > self._limit:  # the parser rejects it
            self._passing = self._message_bytes
        else:
            self._passing = min(size, self._kept)
            self._dropping = size - self._passing
        return head if self._passing == size else _resized(head, self._passing)


def _resized(head: bytes, size: int) -> bytes:
    """The same head with another size, in its shortest form."""
    extended = _EXTENDED.get(head[1] & _LENGTH, 0)
    short = size if size < 126 else 126 if size < 65_536 else 127
    length = size.to_bytes(_EXTENDED[short], "big") if short in _EXTENDED else b""
    return bytes((head[0], head[1] & _MASKED | short)) + length + head[2 + extended :]


def _head_bytes(second: int) -> int:
    return 2 + _EXTENDED.get(second & _LENGTH, 0) + (4 if second & _MASKED else 0)
