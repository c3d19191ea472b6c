"""The store in a local directory, which several edges may share. A file appears only when it is complete, because it is
renamed."""

import os
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path

from services.edge.media.disk import Disk
from services.edge.media.store import CHUNK_BYTES, FRESH_SECONDS, UPLOAD_KINDS, StoredKey

DIRECTORIES = ("records", "blobs")
"""The directories of complete files. The blob of a record always exists."""
SPOOL = "spool"
"""The directory of incomplete files, in the same file system."""
_LISTED_AT_ONCE = 500


class DirectoryStore:
    """Implements services.edge.media.store.MediaStore. Sources must be in the same file system."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root = root
        self._disk = disk

    async def prepare(self) -> None:
        await self._disk.run(self._make_directories)

    async def put(self, key: str, source: Path, size: int) -> bool:
        return await self._disk.run(partial(_move, source, self._root / key, size))

    async def write(self, key: str, data: bytes) -> None:
        await self._disk.run(partial(_write, self._root / SPOOL / secrets.token_hex(16), self._root / key, data))

    async def create(self, key: str, source: Path | bytes) -> bool:
        if isinstance(source, Path):
            return await self._disk.run(partial(_create, source, self._root / key))
        temporary = self._root / SPOOL / secrets.token_hex(16)
        return await self._disk.run(partial(_create_small, temporary, self._root / key, source))

    async def load(self, key: str) -> bytes | None:
        return await self._disk.run(partial(_load, self._root / key))

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        while start < stop:
            chunk = await self._disk.run(partial(_read_chunk, self._root / key, start, min(CHUNK_BYTES, stop - start)))
            start += len(chunk)
            yield chunk

    async def list(self, kind: str) -> AsyncGenerator[Sequence[StoredKey]]:
        stored = _stored(self._root, kind)
        try:
            while batch := await self._disk.run(lambda: list(islice(stored, _LISTED_AT_ONCE))):
                yield batch
        finally:
            await self._disk.run(stored.close)

    async def delete(self, key: str, *, older_than: float | None = None) -> bool:
        return await self._disk.run(partial(_delete, self._root / key, older_than))

    def _make_directories(self) -> None:
        for name in (*DIRECTORIES, *UPLOAD_KINDS, SPOOL):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)


def _move(source: Path, target: Path, size: int) -> bool:
    is_new = not (target.is_file() and target.stat().st_size == size)
    if is_new or target.stat().st_mtime < time.time() - FRESH_SECONDS:
        os.utime(source)
        source.replace(target)
    _sync(target.parent)  # always synced, because an earlier process may have crashed between its rename and the sync
    return is_new


def _write(temporary: Path, target: Path, data: bytes) -> None:
    with _written(temporary, data):
        _place(target, partial(temporary.replace, target))


def _create_small(temporary: Path, target: Path, data: bytes) -> bool:
    with _written(temporary, data):
        return _create(temporary, target)


def _create(source: Path, target: Path) -> bool:
    """Create a file by a link. Unlike a rename, a link never replaces a file."""
    try:
        _place(target, partial(os.link, source, target))
    except FileExistsError:
        return False
    return True


@contextmanager
def _written(temporary: Path, data: bytes) -> Iterator[None]:
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield
    finally:
        temporary.unlink(missing_ok=True)


def _place(target: Path, place: Callable[[], object]) -> None:
    """Place a file durably. Its directory is created if it is missing."""
    try:
        place()
    except FileNotFoundError:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _sync(target.parent.parent)
        place()
    _sync(target.parent)


def _sync(directory: Path) -> None:
    """Make renames into the directory durable."""
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


def _read_chunk(path: Path, start: int, size: int) -> bytes:
    """Read one chunk. The file is opened for each chunk, so that a slow reader holds no file open."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        chunk = file.read(size)
    if not chunk:
        raise OSError(f"{path.name} ends before byte {start + size}")
    return chunk


def _stored(root: Path, kind: str) -> Generator[StoredKey]:
    """The keys of one kind. The directory of the first level must exist."""
    absent = (FileNotFoundError,) if "/" in kind else ()
    with suppress(*absent), os.scandir(root / kind) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _stored(root, f"{kind}/{entry.name}")
            else:
                with suppress(FileNotFoundError):
                    state = entry.stat()
                    yield StoredKey(f"{kind}/{entry.name}", state.st_size, state.st_mtime)


def _delete(path: Path, older_than: float | None) -> bool:
    try:
        if older_than is not None and path.stat().st_mtime >= older_than:
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    if path.parent.name not in (*DIRECTORIES, *UPLOAD_KINDS):
        with suppress(OSError):  # a directory that contains other files cannot be removed
            path.parent.rmdir()
    return True
