"""A message on its way out: its segments are unpacked once, its frames made once per variant of dialect."""

from collections.abc import Hashable

from services.edge.dialects.base import Dialect
from services.edge.requests import Frame, Shown
from shared.contract.model import Message, unpack_segments


class Encoded:
    __slots__ = ("_frames", "_shown", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self._shown: Shown | None = None
        self._frames: dict[Hashable, tuple[Frame, ...]] = {}

    def frames(self, dialect: Dialect) -> tuple[Frame, ...]:
        frames = self._frames.get(dialect.variant)
        if frames is None:
            if self._shown is None:
                self._shown = Shown(self.message, unpack_segments(self.message.body))
            frames = self._frames[dialect.variant] = dialect.encode_message(self._shown)
        return frames
