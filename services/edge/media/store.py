"""The interface between the media service and its store, which is a directory or a bucket. This module also defines the
record of each address (its file, owner, use and expiry), and reports failures of the store."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from services.edge.metrics import EdgeMetrics
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Media
from shared.settings import Settings
from shared.telemetry import log

_DAY_MS = 86_400_000
CHUNK_BYTES = 256 * 1024
"""Files are read in chunks of at most this size."""
FRESH_SECONDS = 12 * 3600.0
"""If the same content arrives again, a blob that is older than this is stored again. The sweeper removes only blobs
that are a day old and have no record. So it never removes a blob that is about to get a record."""

UPLOAD_KINDS = ("uploads", "parts", "finished")
"""The kinds of keys of resumable uploads: `uploads/<account>/<id>`, `parts/<id>/<offset>` and
`finished/<account>/<id>`."""

_log = log(__name__)


class MediaUse(IntEnum):
    """How a stored file is used. The value of a file never becomes lower."""

    UPLOADED = 0
    POSTED = 1
    """A message shows the file, or is about to."""
    AVATAR = 2


class MediaRecord(msgspec.Struct, array_like=True, frozen=True):
    """The stored record: the fields of Media in an order of its own. `created`: Unix milliseconds, or 0 if the time is
    unknown."""

    id: str
    name: str
    size: int
    sha256: str
    mime: str
    packages: int = 0
    account: AccountId = NO_ACCOUNT
    created: int = 0
    use: MediaUse = MediaUse.UPLOADED
    width: int = 0
    height: int = 0

    @property
    def media(self) -> Media:
        """The file in the form in which messages contain it."""
        return msgspec.convert(self, Media, from_attributes=True)


_decode_record = msgspec.json.Decoder(MediaRecord).decode


class MediaRetention(NamedTuple):
    """The times after which files expire, in days. 0 means never, except for `unfinished` uploads."""

    posted: float
    unposted: float
    unfinished: float = 1.0

    def expired(self, record: MediaRecord, now_ms: int) -> bool:
        """Whether the file has expired. Avatars never expire. A record without a time does not expire either, because
        its use is unknown."""
        if not record.created or record.use is MediaUse.AVATAR:
            return False
        limits = [self.posted] if record.use is MediaUse.POSTED else [self.posted, self.unposted]
        return any(days and record.created < now_ms - days * _DAY_MS for days in limits)


def retention(settings: Settings) -> MediaRetention:
    """Make the retention from the settings. Files expire with the messages, unless the settings have a time for
    files."""
    return MediaRetention(
        settings.media.retention_days or settings.message.retention_days,
        settings.media.unposted_days,
        settings.media.unfinished_days,
    )


class StoredKey(NamedTuple):
    """`size`: bytes. `modified`: Unix seconds."""

    key: str
    size: int
    modified: float


class MediaStore(Protocol):
    """Keys are `blobs/<sha256>` (contents), `records/<id>`, and the keys of UPLOAD_KINDS. The content of a blob never
    changes. Every call raises OSError on failure."""

    async def prepare(self) -> None:
        """Prepare the store. This is called once, before all other calls."""

    async def put(self, key: str, source: Path, size: int) -> bool:
        """Store the content of a file durably, unless it is stored and fresh. The store may move the file. Returns
        whether the content was not stored at all."""

    async def write(self, key: str, data: bytes) -> None:
        """Store a few bytes durably under a key, whether the key exists or not."""

    async def create(self, key: str, source: Path | bytes) -> bool:
        """Store a file of a few MiB, or a few bytes, durably under a new key. If several calls have the same key, on
        any edges, only one succeeds. Returns whether this call has succeeded."""

    async def load(self, key: str) -> bytes | None: ...

    def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """Read the bytes from `start` up to `stop`, in chunks. Raises FileNotFoundError for an unknown key."""

    def list(self, kind: str) -> AsyncGenerator[Sequence[StoredKey]]:
        """List all keys below `kind`, such as `blobs`, in batches and in any order. A key that is created or deleted
        meanwhile may be missing."""

    async def delete(self, key: str, *, older_than: float | None = None) -> bool:
        """Remove a key if it exists and was modified before `older_than` (Unix seconds; None: at any time). Returns
        whether it was removed."""


async def load_record(store: MediaStore, key: str) -> MediaRecord | None:
    """Raises OSError, msgspec.MsgspecError."""
    loaded = await store.load(key)
    return None if loaded is None else _decode_record(loaded)


class StoreFailures:
    def __init__(self, metrics: EdgeMetrics, seconds: float) -> None:
        self._metrics = metrics
        self._seconds = seconds

    @asynccontextmanager
    async def within_time(self, operation: str) -> AsyncIterator[None]:
        """Limit the time of a call of the store. See also `reported`."""
        with self.reported(operation):
            async with asyncio.timeout(self._seconds):
                yield

    @contextmanager
    def reported(self, operation: str) -> Iterator[None]:
        """Convert an OSError (including TimeoutError), or the error of a damaged record, into RequestError."""
        try:
            yield
        except (OSError, msgspec.MsgspecError) as error:
            self._metrics.media_failures.labels(operation).inc()
            _log.warning("the media store failed", doing=operation, error=repr(error))
            raise RequestError(ErrorCode.UNAVAILABLE, "files cannot be stored or read now, please try again") from error
