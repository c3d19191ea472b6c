"""Files on their way in: bytes go to a temporary file as they come, and are hashed meanwhile."""

import hashlib
import os
import secrets
import time
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from threading import Lock

from services.edge.media.disk import Disk
from services.edge.media.failures import StoreFailures
from shared.contract.errors import ErrorCode, RequestError

HEAD_BYTES = 64
"""So much of the beginning is remembered, to tell what it is."""
_LEFT_SECONDS = 24 * 3600.0


class UploadBuffer:
    """The temporary files, in a directory of their own. `limit`: bytes of one file."""

    def __init__(self, root: Path, limit: int, disk: Disk, failures: StoreFailures) -> None:
        self._root = root
        self._limit = limit
        self._disk = disk
        self._failures = failures

    def start_upload(self) -> "Upload":
        return Upload(self._root / secrets.token_hex(16), self._limit, self._disk, self._failures)

    async def prepare(self) -> None:
        """Make the directory, and remove what crashed processes left in it: files a day old. Raises OSError."""
        await self._disk.run(self._prepare)

    def _prepare(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._root.iterdir():
            with suppress(FileNotFoundError):  # its upload ends, or another edge starts, just now
                if time.time() - path.stat().st_mtime > _LEFT_SECONDS:
                    path.unlink()


class Upload:
    """One file on its way in. Writes follow one another; `drop` may come at any time, also while one is under way.
    Whoever began it drops it, whatever became of it."""

    def __init__(self, path: Path, limit: int, disk: Disk, failures: StoreFailures) -> None:
        self.size = 0
        self.head = b""
        self._path = path
        self._limit = limit
        self._disk = disk
        self._failures = failures
        self._hash = hashlib.sha256()
        self._file: FileIO | None = None
        self._dropped = False
        self._lock = Lock()
        """Held by threads: the file is not closed under a write."""

    async def write(self, data: bytes) -> None:
        """Raises Refused: beyond the limit of a file; when the disk fails."""
        if self.size + len(data) > self._limit:
            raise RequestError(ErrorCode.TOO_LARGE, f"a file has at most {self._limit} bytes")
        self.size += len(data)
        self.head += data[: HEAD_BYTES - len(self.head)]
        with self._failures.reported("write"):
            await self._disk.run(partial(self._append, data))

    async def finish(self) -> tuple[Path, str]:
        """The file, durable, and its sha256 in hex. Raises OSError."""
        return await self._disk.run(self._finish)

    def drop(self) -> None:
        """The temporary file is removed in a moment."""
        if not self._dropped:
            self._dropped = True
            self._disk.run_detached(self._remove)

    # In threads

    def _append(self, data: bytes) -> None:
        with self._lock:
            file = self._opened()
            self._hash.update(data)
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]

    def _finish(self) -> tuple[Path, str]:
        with self._lock:
            file = self._opened()
            os.fsync(file.fileno())
            file.close()
            return self._path, self._hash.hexdigest()

    def _opened(self) -> FileIO:
        if self._dropped:
            raise OSError("the upload was given up")
        if self._file is None:
            self._file = FileIO(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        return self._file

    def _remove(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._path.unlink(missing_ok=True)
