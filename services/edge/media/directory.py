"""The store in a local directory, which edges may share: a file appears whole, under its name, by rename."""

import os
import secrets
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from services.edge.media.disk import Disk
from services.edge.media.store import CHUNK_BYTES

DIRECTORIES = ("records", "blobs")
"""Where files are that are whole: of a record, there is always the blob."""
SPOOL = "spool"
"""Where files are while they are not whole yet, in the store's own file system."""


class DirectoryStore:
    """See services.edge.media.store.Store. Sources must be in the same file system."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root = root
        self._disk = disk

    async def prepare(self) -> None:
        await self._disk.run(self._make_rooms)

    async def put(self, key: str, source: Path, size: int) -> bool:
        return await self._disk.run(partial(_take, source, self._root / key, size))

    async def write(self, key: str, data: bytes) -> None:
        await self._disk.run(partial(_write, self._root / SPOOL / secrets.token_hex(16), self._root / key, data))

    async def load(self, key: str) -> bytes | None:
        return await self._disk.run(partial(_load, self._root / key))

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        while start < stop:
            chunk = await self._disk.run(partial(_piece, self._root / key, start, min(CHUNK_BYTES, stop - start)))
            start += len(chunk)
            yield chunk

    def _make_rooms(self) -> None:
        for room in (*DIRECTORIES, SPOOL):
            (self._root / room).mkdir(mode=0o700, parents=True, exist_ok=True)


def _take(source: Path, target: Path, size: int) -> bool:
    fresh = not (target.is_file() and target.stat().st_size == size)
    if fresh:
        source.replace(target)
    _sync(target.parent)  # whoever put it there may have died before
    return fresh


def _write(written: Path, target: Path, data: bytes) -> None:
    try:
        with written.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(target)
        _sync(target.parent)
    finally:
        written.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """What was renamed into it stays there after a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _piece(path: Path, start: int, size: int) -> bytes:
    """Opened for each piece: a reader that is slow, or gone, holds nothing."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        piece = file.read(size)
    if not piece:
        raise OSError(f"{path.name} ends before byte {start + size}")
    return piece
