"""Delays writes of one event-loop tick to its end: one system call per socket. A message to a very big group is written
part by part: its first recipients need not wait until it is prepared for the last."""

import asyncio
from abc import ABC, abstractmethod
from typing import Final

from mypy_extensions import trait

from services.edge.canonical.frames import Frame
from services.edge.gateway.framing import message_bytes

_MAX_WRITERS: Final = 512
"""That wait for the end of the tick."""


@trait
class BatchWriter(ABC):
    """A base class and no protocol: compiled code calls its method directly."""

    __slots__ = ()

    @abstractmethod
    def flush(self) -> None:
        """Write what was sent in this tick."""


class WriteBatch:
    """Shared by all sockets of a gateway."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._writers: list[BatchWriter] = []
        self.framed_cache: dict[int, tuple[tuple[Frame, ...], bytes]] = {}
        """Messages framed in this tick, by the identity of their tuple, which is kept so that its id is not reused."""

    def frame_messages(self, frames: tuple[Frame, ...]) -> bytes:
        """Frame the messages, once per tick for all sockets."""
        wire = message_bytes(frames[0]) if len(frames) == 1 else b"".join(map(message_bytes, frames))
        self.framed_cache[id(frames)] = frames, wire
        return wire

    def flush_later(self, writer: BatchWriter) -> None:
        if len(self._writers) >= _MAX_WRITERS:
            self._flush()
        if not self._writers:
            self.loop.call_soon(self._flush)
        self._writers.append(writer)

    def _flush(self) -> None:
        writers, self._writers = self._writers, []
        self.framed_cache.clear()
        for writer in writers:
            writer.flush()
