"""Receives files. Each file is written to a temporary file and hashed while it arrives."""

import hashlib
import os
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from threading import Lock

from services.edge.media.disk import Disk
from services.edge.media.quota import UnfinishedUploads
from services.edge.media.store import CHUNK_BYTES, StoreFailures
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId

HEAD_BYTES = 64
"""The number of bytes at the beginning of a file that are kept, to detect its type."""
_STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class UploadBuffer:
    """The directory of temporary files. `limit`: the maximum size of a file in bytes."""

    root: Path
    limit: int
    disk: Disk
    failures: StoreFailures
    unfinished: UnfinishedUploads

    async def prepare(self) -> None:
        """Create the directory, and remove files older than a day that crashed processes have left behind. Raises
        OSError."""
        await self.disk.run(self._prepare)

    def _prepare(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.root.iterdir():
            with suppress(FileNotFoundError):  # the upload may end at this moment, or another edge may remove the file
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()


class Upload:
    """One incoming file. It is written sequentially. `drop` may be called at any time, even during a write. The code
    that has started an upload must drop it in the end."""

    def __init__(self, buffer: UploadBuffer, account: AccountId) -> None:
        self.size = 0
        self.head = b""
        self._buffer = buffer
        self._path = buffer.root / secrets.token_hex(16)
        self._account = account
        self._hash = hashlib.sha256()
        self._file: FileIO | None = None
        self._dropped = False
        self._lock = Lock()
        """Each thread that uses the file holds this lock, so that the file is not closed during a write."""

    async def write(self, data: bytes) -> None:
        """Write bytes. Raises RequestError over a limit, and when the disk fails."""
        if self.size + len(data) > self._buffer.limit:
            raise RequestError(ErrorCode.TOO_LARGE, f"a file has at most {self._buffer.limit} bytes")
        if not self._dropped:
            self._buffer.unfinished.add(self._account, len(data))
        self.size += len(data)
        self.head += data[: HEAD_BYTES - len(self.head)]
        with self._buffer.failures.reported("write"):
            await self._buffer.disk.run(partial(self._append, data))

    async def read(self) -> AsyncGenerator[bytes]:
        """Read the written bytes, in chunks. Raises RequestError when the disk fails."""
        for start in range(0, self.size, CHUNK_BYTES):
            with self._buffer.failures.reported("read"):
                chunk = await self._buffer.disk.run(partial(self._read, start))
            yield chunk

    async def beginning(self) -> bytes:
        """Return the first chunk of the file. Raises OSError."""
        return await self._buffer.disk.run(partial(self._read, 0))

    async def finish(self) -> tuple[Path, str]:
        """Make the file durable. Returns its path, and its sha256 in hex. Raises OSError."""
        return await self._buffer.disk.run(self._finish)

    def drop(self) -> None:
        """Remove the temporary file soon."""
        if not self._dropped:
            self._dropped = True
            self._buffer.unfinished.remove(self._account, self.size)
            self._buffer.disk.run_detached(self._remove)

    # In threads

    def _append(self, data: bytes) -> None:
        with self._lock:
            file = self._open_file()
            self._hash.update(data)
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[file.write(remaining) :]

    def _read(self, start: int) -> bytes:
        with self._lock, self._path.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(CHUNK_BYTES)

    def _finish(self) -> tuple[Path, str]:
        with self._lock:
            file = self._open_file()
            os.fsync(file.fileno())
            file.close()
            return self._path, self._hash.hexdigest()

    def _open_file(self) -> FileIO:
        if self._dropped:
            raise OSError("the upload was dropped")
        if self._file is None:
            self._file = FileIO(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        return self._file

    def _remove(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._path.unlink(missing_ok=True)
