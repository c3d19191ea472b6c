"""Stores uploads, finds media by id, and reads media. The store below this service only has keys and bytes."""

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from services.edge.media.directory import SPOOL
from services.edge.media.disk import Disk
from services.edge.media.mime_sniffing import PICTURES, picture_size, sniff
from services.edge.media.naming import safe_name
from services.edge.media.quota import MediaQuota, UnfinishedUploads
from services.edge.media.store import MediaRecord, MediaStore, MediaUse, StoreFailures, load_record, retention
from services.edge.media.upload_buffer import Upload, UploadBuffer
from services.edge.metrics import EdgeMetrics
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Media
from shared.errors import StartupError
from shared.settings import Settings

_CACHED_RECORDS = 10_000
_CACHED_SECONDS = 300.0
"""The longest time for which an address is cached. After it, an address that another edge has removed is unknown here,
too."""
_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


Claim = Callable[[Media], Awaitable[Media]]
"""Claims an address for a file before the file is stored. Returns this file, or the same file if it was stored or
claimed before."""


class MediaService:
    """Without a `quota`, accounts may store any number of bytes."""

    def __init__(
        self, store: MediaStore, settings: Settings, metrics: EdgeMetrics, disk: Disk, quota: MediaQuota | None = None
    ) -> None:
        self._store = store
        self._failures = StoreFailures(metrics, settings.media.timeout_seconds)
        self._directory = settings.media.directory
        unfinished = UnfinishedUploads(settings.media)
        self._uploads = UploadBuffer(
            self._directory / SPOOL, settings.limits.file_bytes, disk, self._failures, unfinished
        )
        self._retention = retention(settings)
        self._metrics = metrics
        self._disk = disk
        self._quota = quota
        self._cache: OrderedDict[str, tuple[MediaRecord, float]] = OrderedDict()
        """The cached records, each with the time until which it is used (monotonic seconds)."""

    async def prepare(self) -> None:
        """Must be called first. Raises StartupError."""
        try:
            await self._uploads.prepare()
            await self._store.prepare()
        except OSError as error:
            path = error.filename or self._directory
            raise StartupError(
                f"the directory {path} (media.directory) cannot be used: {error.strerror}",
                "Let this user write to it, or name another",
            ) from error

    async def remove_stale_uploads(self) -> None:
        """Remove files older than a day that crashed processes have left behind. Raises OSError."""
        await self._uploads.prepare()

    def start_upload(self, account: AccountId = NO_ACCOUNT) -> Upload:
        """Begin a new file. The caller writes to the upload, and then stores or drops it."""
        return Upload(self._uploads, account)

    async def check_quota(self, account: AccountId) -> None:
        """Check the quota before an upload. Raises RequestError if the account may store nothing more today."""
        if self._quota is not None:
            await self._quota.check(account)

    async def store(
        self,
        upload: Upload,
        kind: Literal["image", "file"],
        name: str = "",
        packages: int = 0,
        account: AccountId = NO_ACCOUNT,
        use: MediaUse = MediaUse.UPLOADED,
        claim: Claim | None = None,
    ) -> Media:
        """Store an upload of an account durably under a new id, or under the id of the file that `claim` returns. With
        `claim`, the file is stored and counted once, even if the call is repeated, on any edges. The upload ends here,
        even on failure. Raises RequestError."""
        id, file_type = secrets.token_hex(16), sniff(upload.head)
        try:
            async with self._failures.within_time("keep"):
                beginning = await upload.beginning() if file_type.mime in PICTURES else b""
                source, digest = await upload.finish()
            shown = picture_size(file_type.mime, beginning)
            safe = safe_name(name) or f"{kind}-{id}{file_type.extension}"
            record = MediaRecord(
                id, safe, upload.size, digest, file_type.mime, packages, account=account, created=now_ms(), use=use,
                width=shown.width, height=shown.height,
            )  # fmt: skip
            if claim is not None:
                claimed = await claim(record.media)
                if await self.has(claimed.id):
                    return claimed
                record = replace(record, id=claimed.id, name=claimed.name)
            await self._store_counted(source, record, once=claim is not None)
        finally:
            upload.drop()
        self._metrics.media_stored.labels(kind).inc()
        self._metrics.media_stored_bytes.inc(record.size)
        return self._cache_record(record).media

    async def find_record(self, id: str) -> MediaRecord | None:
        """Return the record with this id. It is None if it does not exist or has expired. Raises RequestError."""
        record, believed = self._cache.get(id, (None, 0.0))
        if record is not None and time.monotonic() < believed:
            self._cache.move_to_end(id)
        elif not _ID.fullmatch(id):
            return None
        else:
            async with self._failures.within_time("find"):
                record = await load_record(self._store, f"records/{id}")
            if record is None:
                self._cache.pop(id, None)
                return None
            self._cache_record(record)
        return None if self._retention.expired(record, now_ms()) else record

    async def find(self, id: str) -> Media | None:
        """Return the media with this id, or None. Raises RequestError."""
        record = await self.find_record(id)
        return record.media if record is not None else None

    async def has(self, id: str) -> bool:
        """Whether the file exists at this moment. Raises RequestError."""
        self._cache.pop(id, None)
        return await self.find_record(id) is not None

    async def mark_used(self, id: str, use: MediaUse) -> Media | None:
        """Record that a message or a profile is about to show this media. Returns None if it does not exist. Raises
        RequestError."""
        record = await self.find_record(id)
        if record is not None and record.created and record.use < use:
            self._cache.pop(id, None)  # another edge may have removed the address, or may use the file for more
            record = await self.find_record(id)
        if record is None:
            return None
        if record.created and record.use < use:
            record = replace(record, use=use)
            async with self._failures.within_time("keep"):
                await self._store.write(f"records/{record.id}", msgspec.json.encode(record))
            self._cache_record(record)
        return record.media

    async def discard(self, id: str) -> None:
        """Remove an address, because the message that should show it was rejected. The content still counts for the
        quotas, because the sweeper removes it a day later. Raises RequestError."""
        self._cache.pop(id, None)
        async with self._failures.within_time("remove"):
            await self._store.delete(f"records/{id}")

    async def read(self, media: Media, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """Read the bytes from `start` up to `stop` (None: the end), in chunks of at most 256 KiB. Each chunk is read
        when the caller requests it. A caller that stops early closes the generator (`contextlib.aclosing`). Raises
        RequestError, perhaps after some chunks."""
        stop = media.size if stop is None else min(stop, media.size)
        if not _SHA256.fullmatch(media.sha256):
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such file")
        async with aclosing(self._store.read(f"blobs/{media.sha256}", start, stop)) as chunks:
            while (chunk := await self._next_chunk(chunks)) is not None:
                self._metrics.media_read_bytes.inc(len(chunk))
                yield chunk

    async def close(self) -> None:
        """Must be called last, after all other uses of the service."""
        await self._disk.close()

    async def _store_counted(self, source: Path, record: MediaRecord, *, once: bool) -> None:
        """Store and count a file. With `once`, a file that could not be stored stays counted. Another request may be
        storing the same file without counting it."""
        number = record.id if once else ""
        counted = self._quota is not None and await self._quota.reserve(record.account, record.size, number)
        try:
            async with self._failures.within_time("keep"):
                if not await self._store.put(f"blobs/{record.sha256}", source, record.size):
                    self._metrics.media_duplicates.inc()
                # An earlier attempt of this upload may have stored the record already, and a message may use it.
                await self._store.create(f"records/{record.id}", msgspec.json.encode(record))
        except BaseException:
            if self._quota is not None and counted and not once:
                await self._quota.give_back(record.account, record.size)
            raise

    async def _next_chunk(self, chunks: AsyncGenerator[bytes]) -> bytes | None:
        async with self._failures.within_time("read"):
            try:
                return await anext(chunks, None)
            except FileNotFoundError as error:
                raise RequestError(ErrorCode.NOT_FOUND, "there is no such file") from error

    def _cache_record(self, record: MediaRecord) -> MediaRecord:
        self._cache[record.id] = record, time.monotonic() + _CACHED_SECONDS
        while len(self._cache) > _CACHED_RECORDS:
            self._cache.popitem(last=False)
        return record
