"""The port of the media service to its store: a directory or a bucket."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 256 * 1024
"""Files are read in chunks of at most this size."""


class MediaStore(Protocol):
    """Keys are `blobs/<sha256>` and `records/<id>`. A key's content never changes and is never removed. Every call
    raises OSError on failure."""

    async def prepare(self) -> None:
        """Called once, first."""

    async def put(self, key: str, source: Path, size: int) -> bool:
        """Store the content of a file durably; the store may move the file. Returns whether the content is new."""

    async def write(self, key: str, data: bytes) -> None:
        """Store a few bytes durably under a new key."""

    async def load(self, key: str) -> bytes | None: ...

    def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop`, in chunks. Raises FileNotFoundError for an unknown key."""
