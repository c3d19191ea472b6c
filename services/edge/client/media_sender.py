"""Sends images and files to one client in the form of the client's dialect. Meanwhile, all other output to the client
waits in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple, Protocol

from services.edge.canonical.frames import Binary, Frame, MediaPayload, Outgoing
from services.edge.media import MediaService
from services.edge.rate_limit import log_rate
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import ChatId
from shared.contract.model import Media, Message
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_LOW_WATER_BYTES = 256 * 1024
"""While a socket has more unsent bytes than this, no further package of a file is read."""
_POLL_SECONDS = 0.01
_SLOT_SECONDS = 30.0
"""The longest time that a client waits for a slot. After this time, the client receives a text with the address of the
file instead."""


class MediaTransfers:
    """The transfers of images and files to all clients of this node. At most `concurrent` run at once, because each
    keeps a package in memory, and a package may be large."""

    def __init__(self, media: MediaService, tasks: Tasks, concurrent: int, clock: Callable[[], float]) -> None:
        self.media = media
        self.tasks = tasks
        self.slots = asyncio.Semaphore(concurrent)
        self._clock = clock
        self._log_rate = log_rate(clock())

    def warn(self, problem: str, media: Media, **details: str) -> None:
        """Log the problem, but at most once a second, because a client can cause the problem again and again."""
        if self._log_rate.take(self._clock()):
            _log.warning(problem, media=media.sha256, **details)


class _Item(NamedTuple):
    """Frames that are written without other output between them, and the message that these frames push, if any."""

    frames: tuple[Outgoing, ...]
    message: Message | None


class FrameWriter(Protocol):
    """Writes frames to the client's socket."""

    def write_now(self, frames: tuple[Frame, ...], message: Message | None = None) -> None:
        """Write these frames now, before all waiting output. `message`: the message whose last frames these are."""

    def unsent(self) -> int:
        """The bytes that the kernel has not accepted."""

    def progressed(self) -> None:
        """Note that the client receives frames, however slowly."""

    def transfers_ended(self) -> None:
        """Note that every transfer has ended, and that all its frames are written."""

    def transfer_failed(self) -> None:
        """Note that a transfer has failed half way. The connection cannot continue."""


class MediaSender:
    """Sends the output to one client while files are transferred. The first call of `enqueue` contains a MediaPayload.
    Until all transfers end, all output must be queued here."""

    __slots__ = ("_queue", "_task", "_transfers", "_writer", "waiting_bytes")

    def __init__(self, transfers: MediaTransfers, writer: FrameWriter) -> None:
        self._transfers = transfers
        self._writer = writer
        self._queue: deque[_Item] = deque()
        self._task: asyncio.Task[None] | None = None
        self.waiting_bytes = 0
        """The size of everything enqueued, without the bytes of images and files."""

    def enqueue(self, frames: tuple[Outgoing, ...], message: Message | None) -> None:
        self._queue.append(_Item(frames, message))
        self.waiting_bytes += _size(self._queue[-1])
        if self._task is None:
            self._task = self._transfers.tasks.start(self._run(), "transfers")

    def holds(self, chat: ChatId, index: int) -> bool:
        """Whether this message waits here, or is being written."""
        messages = [item.message for item in self._queue if item.message is not None]
        return any((message.chat, message.index) == (chat, index) for message in messages)

    def recalled(self, chat: ChatId, index: int) -> None:
        """Drop what is not written of this message, except the rest of a file that was announced, because no client
        gets a text after its recall. The message stays undelivered."""
        for place, item in enumerate(self._queue):
            if item.message is not None and (item.message.chat, item.message.index) == (chat, index):
                self._queue[place] = _Item((), None)
                self.waiting_bytes -= _size(item)

    def forget_pushes(self) -> None:
        """Note that the account has logged out: its waiting messages stay undelivered. The item that is being written
        is still written, but confirms no message."""
        remaining = [item._replace(message=None) if at == 0 else item for at, item in enumerate(self._queue)]
        self._queue.clear()
        self._queue.extend(item for item in remaining if item.message is None)
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
                self._writer.write_now((), item.message)
        except Exception as error:
            if not isinstance(error, RequestError):
                _log.exception("transfer failed")
            self._writer.transfer_failed()
        else:
            self._writer.transfers_ended()

    async def _write(self, frames: tuple[Outgoing, ...]) -> None:
        for frame in frames:
            if isinstance(frame, MediaPayload):
                await self._transfer(frame)
            else:
                self._write_first((frame,))

    def _write_first(self, frames: tuple[Frame, ...]) -> bool:
        """Write a text or the beginning of a file, unless its message was recalled. Returns whether it was written."""
        if is_kept := bool(self._queue[0].frames):
            self._writer.write_now(frames)
        return is_kept

    async def _transfer(self, payload: MediaPayload) -> None:
        """Wait for a slot, then send. Raises RequestError, perhaps half way."""
        slots = self._transfers.slots
        try:
            async with asyncio.timeout(_SLOT_SECONDS):
                await slots.acquire()
        except TimeoutError:
            self._transfers.warn("too many transfers", payload.media)
            self._write_first((payload.fallback,))
            return
        try:
            await self._stream(payload)
        finally:
            slots.release()

    async def _stream(self, payload: MediaPayload) -> None:
        """Read the first bytes of the file, then announce the file and send it. Raises RequestError, perhaps half
        way."""
        chunks = self._transfers.media.read(payload.media)
        async with aclosing(chunks), aclosing(split_packages(chunks, payload.media.size, payload.packages)) as parts:
            try:
                first = await anext(parts)
            except RequestError as error:
                self._transfers.warn("media not opened", payload.media, error=str(error))
                self._write_first((payload.fallback,))
                return
            if not self._write_first((payload.announcement, Binary(first))):
                return
            await self._drained()
            async for part in parts:
                self._writer.write_now((Binary(part),))
                await self._drained()

    async def _drained(self) -> None:
        unsent = self._writer.unsent()
        while unsent > _LOW_WATER_BYTES:
            await asyncio.sleep(_POLL_SECONDS)
            before, unsent = unsent, self._writer.unsent()
            if unsent < before:
                self._writer.progressed()


async def split_packages(chunks: AsyncGenerator[bytes], size: int, count: int) -> AsyncGenerator[bytes]:
    """Divide `size` bytes into `count` parts whose sizes differ by at most one byte. Raises RequestError if there are
    fewer bytes."""
    rest = bytearray()
    for number in range(count):
        length = size * (number + 1) // count - size * number // count
        while len(rest) < length:
            chunk = await anext(chunks, None)
            if chunk is None:
                raise RequestError(ErrorCode.UNAVAILABLE, "the content is incomplete")
            rest += chunk
        yield bytes(rest[:length])
        del rest[:length]


def _size(item: _Item) -> int:
    return sum(map(len, item.frames))
