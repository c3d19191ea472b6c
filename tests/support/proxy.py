"""A TCP proxy that can disturb the connections through it.

The faults have the names that toxiproxy gives them: latency, bandwidth, slicer, limit_data, timeout, reset_peer. As
with TCP, a partition delays data but loses none: the data arrive after the partition.
"""

import asyncio
import math
import random
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.sockets import reset_on_close

_CHUNK_BYTES = 16 * 1024
_QUEUED_PIECES = 256
_SLICES = 64
"""The number of slices into which the beginning of data is cut.

The rest stays whole, so that slices of one byte need less CPU time.
"""


@dataclass
class Toxics:
    """The faults of one direction.

    After `limit_bytes`, the connection ends. `slice_bytes` is the size of the first pieces.
    """

    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    bytes_per_second: float = math.inf
    slice_bytes: int = _CHUNK_BYTES
    limit_bytes: int = sys.maxsize
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._open.set()

    def time_out(self) -> None:
        """Until `clear`, the proxy forwards neither data nor the end of a connection."""
        self._open.clear()

    def clear(self) -> None:
        """Removes all faults. Data that are already delayed stay delayed."""
        self.latency_seconds = self.jitter_seconds = 0.0
        self.bytes_per_second = math.inf
        self.slice_bytes, self.limit_bytes = _CHUNK_BYTES, sys.maxsize
        self._open.set()

    async def until_open(self) -> None:
        await self._open.wait()

    @property
    def delay(self) -> float:
        return max(0.0, self.latency_seconds + random.uniform(-self.jitter_seconds, self.jitter_seconds))

    def pieces(self, data: bytes) -> list[bytes]:
        size = self.slice_bytes
        sliced, rest = data[: size * _SLICES], data[size * _SLICES :]
        return [sliced[start : start + size] for start in range(0, len(sliced), size)] + ([rest] if rest else [])


class TcpProxy:
    """A proxy that listens at `port` of 127.0.0.1 and connects to `target`, between `start` and `close`.

    A connection ends when the server acknowledges nothing for `silence_seconds`.
    """

    def __init__(self, target: int, host: str = "127.0.0.1", silence_seconds: float = 60.0) -> None:
        self.up = Toxics()
        """The faults in the direction from the client to the server."""
        self.down = Toxics()
        self.port = 0
        self._target = host, target
        self._silence = int(silence_seconds * 1000)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    async def start(self, listener: socket.socket | None = None) -> None:
        sock = listener or socket.create_server(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._accept, sock=sock, limit=_CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Resets all connections."""
        assert self._server is not None
        self._server.close()
        self.reset_peer()
        while self._links:
            self.clear()
            await asyncio.sleep(0)

    def time_out(self) -> None:
        """Starts a partition, which lasts until `clear`. Clients can open connections but get no data."""
        self.up.time_out()
        self.down.time_out()

    def clear(self) -> None:
        self.up.clear()
        self.down.clear()

    def move(self, target: int) -> None:
        """Connects to another port from now on. Resets all connections."""
        self._target = self._target[0], target
        self.reset_peer()

    def reset_peer(self) -> int:
        """Sends RST to both ends of every connection, even in the middle of a frame.

        Returns the number of connections.
        """
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(*self._target, limit=_CHUNK_BYTES)
        except OSError:
            _reset(writer)
            return
        if sys.platform == "linux":
            server[1].get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._silence)
        link = _Link((reader, writer), server)
        self._links.add(link)
        try:
            await link.run(self.up, self.down)
        finally:
            self._links.discard(link)


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """A client's connection, and the connection to the server for it."""

    def __init__(self, client: _Stream, server: _Stream) -> None:
        self._client = client
        self._server = server
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, up: Toxics, down: Toxics) -> None:
        """Forwards data. Returns at the end of both directions, or after a reset."""
        ends = (self._client, self._server, up), (self._server, self._client, down)
        self._tasks = [asyncio.create_task(_forward(source[0], sink[1], toxics)) for source, sink, toxics in ends]
        try:
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(*self._tasks)
        finally:
            self.reset()

    def reset(self) -> None:
        for task in self._tasks:
            task.cancel()
        for _, writer in (self._client, self._server):
            _reset(writer)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxics: Toxics) -> None:
    """Forwards data in one direction. Raises OSError when one of the connections is broken."""
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_PIECES)
    reading = asyncio.create_task(_read(reader, pieces, toxics))
    try:
        await _write(writer, pieces, toxics)
        await reading
    finally:
        reading.cancel()


async def _read(reader: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]], toxics: Toxics) -> None:
    """Queues each piece of data with the time at which it is to be sent. An empty piece is the end of the data."""
    now = asyncio.get_running_loop().time
    due, forwarded = now(), 0
    data = b"begin"
    while data:
        try:
            data = await reader.read(_CHUNK_BYTES)
        except OSError:
            data = b""  # the end of the data is forwarded instead of the reset, after all data before it
        data = data[: max(0, toxics.limit_bytes - forwarded)]
        due = max(due, now() + toxics.delay)
        for piece in toxics.pieces(data):
            due += len(piece) / toxics.bytes_per_second
            await pieces.put((due, piece))
        forwarded += len(data)
        if forwarded >= toxics.limit_bytes:
            data = b""
    await pieces.put((due, b""))


async def _write(writer: asyncio.StreamWriter, pieces: asyncio.Queue[tuple[float, bytes]], toxics: Toxics) -> None:
    now = asyncio.get_running_loop().time
    while True:
        due, piece = await pieces.get()
        await asyncio.sleep(max(0.0, due - now()))
        await toxics.until_open()
        if not piece:
            if writer.can_write_eof():
                writer.write_eof()
            return
        writer.write(piece)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        with suppress(OSError):
            reset_on_close(raw)
    writer.transport.abort()
