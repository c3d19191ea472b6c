"""A fast reader for the most frequent frame of a JSON dialect."""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from services.edge.canonical.frames import Binary, Frame
from shared.settings.limits import FrameLimits

Shape = TypeVar("Shape")


class FastReader(Generic[Shape]):
    """Decodes a dialect's most frequent frame, a short text message to a chat, in one step. Any unusual or invalid
    frame takes the slow path, which is the reference: `json_frames.read_object`, then the reader of its code.

    `quotes` returns the number of quotation marks in a frame that holds exactly this struct. A frame with more also
    holds other members, or a member twice, which msgspec accepts."""

    def __init__(self, shape: type[Shape], quotes: Callable[[Shape], int]) -> None:
        self._decode = msgspec.json.Decoder(shape).decode
        self._quotes = quotes

    def read(self, frame: Frame, limits: FrameLimits) -> Shape | None:
        """Returns None if the frame must take the slow path. The frame is no larger than a text may be, so its text is
        not, either."""
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
