"""Pictures and files on their way to one client in its own form; all else that is for it waits behind them in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple, Protocol

from services.edge.canonical.frames import Binary, Frame, MediaPayload, Outgoing
from services.edge.context import EdgeContext
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Message
from shared.telemetry import log

_log = log(__name__)
_LOW_WATER_BYTES = 256 * 1024
"""Unsent bytes of a socket, above which no further package is read."""
_LOOK_SECONDS = 0.01
_TURN_SECONDS = 30.0
"""For a place among the transfers of this node; then the client gets a text with the address instead."""


class _Item(NamedTuple):
    """Frames that belong together, and the message they push, if any."""

    frames: tuple[Outgoing, ...]
    message: Message | None


class FrameWriter(Protocol):
    """The client's end of the line."""

    def write_now(self, frames: tuple[Frame, ...], message: Message | None = None) -> None:
        """Past everything that waits. `message`: all of it is written with these."""

    def unsent(self) -> int:
        """Bytes that the kernel has not taken."""

    def moving(self) -> None:
        """The client takes what is sent, however slowly."""


class MediaSender:
    """`put` begins with a Content; until all is written (`over` is called then), everything must go through here.
    `failed` is called when a transfer breaks off half way, which cannot be mended."""

    __slots__ = ("_failed", "_line", "_node", "_over", "_queue", "_task", "waiting_bytes")

    def __init__(
        self, node: EdgeContext, line: FrameWriter, over: Callable[[], None], failed: Callable[[], None]
    ) -> None:
        self._node = node
        self._line = line
        self._over = over
        self._failed = failed
        self._queue: deque[_Item] = deque()
        self._task: asyncio.Task[None] | None = None
        self.waiting_bytes = 0
        """Of all that waits, save for the bytes of pictures and files."""

    def enqueue(self, frames: tuple[Outgoing, ...], message: Message | None) -> None:
        self._queue.append(_Item(frames, message))
        self.waiting_bytes += _size(self._queue[-1])
        if self._task is None:
            self._task = self._node.tasks.start(self._run(), "transfers")

    def forget_pushes(self) -> None:
        """The account has left: its messages stay unread, and what is being written counts for nobody."""
        kept = [item._replace(message=None) if at == 0 else item for at, item in enumerate(self._queue)]
        self._queue.clear()
        self._queue.extend(item for item in kept if item.message is None)
        self.waiting_bytes = sum(_size(item) for item in self._queue)

    def stop(self) -> None:
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._write(self._queue[0].frames)
                item = self._queue.popleft()
                self.waiting_bytes -= _size(item)
                self._line.write_now((), item.message)
        except Exception as error:
            if not isinstance(error, RequestError):
                _log.exception("transfer failed")
            self._failed()
        else:
            self._over()

    async def _write(self, frames: tuple[Outgoing, ...]) -> None:
        for frame in frames:
            if isinstance(frame, MediaPayload):
                await self._transfer(frame)
            else:
                self._line.write_now((frame,))

    async def _transfer(self, content: MediaPayload) -> None:
        """In its turn. Raises Refused, half way."""
        turn = self._node.media_slots
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await turn.acquire()
        except TimeoutError:
            _log.warning("too many transfers", media=content.media.sha256)
            self._line.write_now((content.fallback,))
            return
        try:
            await self._stream(content)
        finally:
            turn.release()

    async def _stream(self, content: MediaPayload) -> None:
        """Announced only once the first bytes are there. Raises Refused, half way."""
        chunks = self._node.media.read(content.media)
        async with aclosing(chunks), aclosing(split_packages(chunks, content.media.size, content.packages)) as parts:
            try:
                first = await anext(parts)
            except RequestError as refusal:
                _log.warning("content not opened", media=content.media.sha256, error=str(refusal))
                self._line.write_now((content.fallback,))
                return
            self._line.write_now((content.announcement, Binary(first)))
            await self._drained()
            async for part in parts:
                self._line.write_now((Binary(part),))
                await self._drained()

    async def _drained(self) -> None:
        unsent = self._line.unsent()
        while unsent > _LOW_WATER_BYTES:
            await asyncio.sleep(_LOOK_SECONDS)
            before, unsent = unsent, self._line.unsent()
            if unsent < before:
                self._line.moving()


async def split_packages(chunks: AsyncGenerator[bytes], size: int, count: int) -> AsyncGenerator[bytes]:
    """So many bytes in so many parts, which differ by one byte at most. Raises Refused when there are fewer."""
    rest = bytearray()
    for number in range(count):
        length = size * (number + 1) // count - size * number // count
        while len(rest) < length:
            chunk = await anext(chunks, None)
            if chunk is None:
                raise RequestError(ErrorCode.UNAVAILABLE, "the content is not whole")
            rest += chunk
        yield bytes(rest[:length])
        del rest[:length]


def _size(item: _Item) -> int:
    return sum(map(len, item.frames))
