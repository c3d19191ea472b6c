"""What sockets write within one turn of the event loop goes out at its end: one system call for each socket."""

import asyncio
from typing import Protocol

from services.edge.canonical.frames import Frame
from services.edge.gateway.framing import message_bytes


class BatchWriter(Protocol):
    def flush(self) -> None: ...


class WriteBatch:
    """Shared by all sockets of a gateway."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._writers: list[BatchWriter] = []
        self.framed_cache: dict[int, tuple[tuple[Frame, ...], bytes]] = {}
        """What was framed in this turn: by the tuple's identity; it is kept, so that no other gets the same."""

    def framed(self, frames: tuple[Frame, ...]) -> bytes:
        """The bytes of these messages, to be made once, however many sockets they go to in this turn."""
        wire = message_bytes(frames[0]) if len(frames) == 1 else b"".join(map(message_bytes, frames))
        self.framed_cache[id(frames)] = frames, wire
        return wire

    def flush_later(self, writer: BatchWriter) -> None:
        if not self._writers:
            self.loop.call_soon(self._end)
        self._writers.append(writer)

    def _end(self) -> None:
        writers, self._writers = self._writers, []
        self.framed_cache.clear()
        for writer in writers:
            writer.flush()
