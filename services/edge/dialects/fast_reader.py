"""A fast reader for the most frequent frame of a JSON dialect."""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from services.edge.canonical.frames import Binary, Frame
from shared.settings.limits import FrameLimits

Shape = TypeVar("Shape")


class FastReader(Generic[Shape]):
    """Decodes a dialect's most frequent frame, a short text message to a chat, in one step. For any unusual or invalid
    frame, the dialect uses the slow path: `json_frames.read_object`, then the reader for its code. The slow path
    defines what is valid.

    `quotes` returns the number of quotation marks in a frame that contains exactly this struct. A frame with more
    quotation marks contains other members, or one member twice. msgspec accepts such a frame, so this check is needed.
    """

    def __init__(self, shape: type[Shape], quotes: Callable[[Shape], int]) -> None:
        self._decode = msgspec.json.Decoder(shape).decode
        self._quotes = quotes

    def read(self, frame: Frame, limits: FrameLimits) -> Shape | None:
        """Returns None if the frame must take the slow path. The size of the frame is compared with the limit of a
        text, because a text is never larger than its frame."""
        if isinstance(frame, Binary) or len(frame) > limits.message_text_bytes or len(frame) > limits.text_frame_bytes:
            return None
        quotes = frame.count(b'"')
        if b"\\" in frame:
            if b"\\\\" in frame or b"\\u0000" in frame:
                return None
            quotes -= frame.count(b'\\"')
        try:
            wire = self._decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return wire if quotes == self._quotes(wire) else None
