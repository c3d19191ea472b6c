"""The port of the media service to its store: a directory or a bucket."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from services.edge.media.record import MediaRecord

CHUNK_BYTES = 256 * 1024
"""Files are read in chunks of at most this size."""
FRESH_SECONDS = 12 * 3600.0
"""A blob that is older is stored again when its content arrives again: so the sweeper, which removes blobs that are a
day old and have no record, leaves alone each that is about to get one."""

UPLOAD_KINDS = ("uploads", "parts", "finished")
"""Kinds of keys of resumable uploads: `uploads/<account>/<id>`, `parts/<id>/<offset>` and `finished/<account>/<id>`."""

_decode_record = msgspec.json.Decoder(MediaRecord).decode


class StoredKey(NamedTuple):
    """`size`: bytes. `modified`: Unix seconds."""

    key: str
    size: int
    modified: float


class MediaStore(Protocol):
    """Keys are `blobs/<sha256>` and `records/<id>`, and those of UPLOAD_KINDS. A blob's content never changes. Every
    call raises OSError on failure."""

    async def prepare(self) -> None:
        """Called once, first."""

    async def put(self, key: str, source: Path, size: int) -> bool:
        """Store the content of a file durably, unless it is stored and fresh; the store may move the file. Returns
        whether it was not stored at all."""

    async def write(self, key: str, data: bytes) -> None:
        """Store a few bytes durably under a key, new or not."""

    async def create(self, key: str, source: Path | bytes) -> bool:
        """Store a file of a few MiB, or a few bytes, durably under a new key. Of several calls with the same key, also
        on several edges, one alone succeeds. Returns whether this one has."""

    async def load(self, key: str) -> bytes | None: ...

    def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop`, in chunks. Raises FileNotFoundError for an unknown key."""

    def list(self, kind: str) -> AsyncGenerator[Sequence[StoredKey]]:
        """All keys below `kind`, such as `blobs`, in batches, in any order. One that comes or goes meanwhile may be
        missing."""

    async def delete(self, key: str, *, older_than: float | None = None) -> bool:
        """Remove a key, if it is there and was modified before `older_than` (Unix seconds; None: whenever). Returns
        whether it has been removed."""


async def load_record(store: MediaStore, key: str) -> MediaRecord | None:
    """Raises OSError, msgspec.MsgspecError."""
    loaded = await store.load(key)
    return None if loaded is None else _decode_record(loaded)
