"""The port between the media room and where its bytes are: a directory, or a bucket."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 256 * 1024
"""Files are read in chunks of at most this size."""


class MediaStore(Protocol):
    """Keys are `blobs/<sha256>` and `records/<id>`; what is under a key never changes, and is never removed. Every
    call raises OSError when it fails."""

    async def prepare(self) -> None:
        """Once, before anything else."""

    async def put(self, key: str, source: Path, size: int) -> bool:
        """Keep the content of a file (which the store may take away); whether it was not there yet. Durable."""

    async def write(self, key: str, data: bytes) -> None:
        """Keep a few bytes under a new key. Durable."""

    async def load(self, key: str) -> bytes | None: ...

    def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop`, in chunks. Raises FileNotFoundError, too."""
