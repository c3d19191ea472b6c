"""Stores uploads, finds media by id, and reads them. The store behind it only knows keys."""

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

import msgspec

from services.edge.media.directory import SPOOL
from services.edge.media.disk import Disk
from services.edge.media.failures import StoreFailures
from services.edge.media.mime_sniffing import sniff
from services.edge.media.naming import safe_name
from services.edge.media.store import MediaStore
from services.edge.media.upload_buffer import Upload, UploadBuffer
from services.edge.metrics import EdgeMetrics
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Media
from shared.errors import StartupError
from shared.settings import Settings

_CACHED_RECORDS = 10_000
_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class MediaService:
    def __init__(self, store: MediaStore, settings: Settings, metrics: EdgeMetrics, disk: Disk) -> None:
        self._store = store
        self._failures = StoreFailures(metrics)
        self._directory = settings.media.directory
        self._uploads = UploadBuffer(self._directory / SPOOL, settings.limits.file_bytes, disk, self._failures)
        self._seconds = settings.media.timeout_seconds
        self._metrics = metrics
        self._disk = disk
        self._cache: OrderedDict[str, Media] = OrderedDict()

    async def prepare(self) -> None:
        """To be called first. Raises StartupError."""
        try:
            await self._uploads.prepare()
            await self._store.prepare()
        except OSError as error:
            path = error.filename or self._directory
            raise StartupError(f"the directory {path} (media.directory) cannot be used: {error.strerror}") from error

    def start_upload(self) -> Upload:
        """A new file, to be written, then stored or dropped."""
        return self._uploads.start_upload()

    async def store(self, upload: Upload, kind: Literal["image", "file"], name: str = "", packages: int = 0) -> Media:
        """Store an upload durably under a new id. The upload ends here, also on failure. Raises RequestError."""
        try:
            with self._failures.reported("keep"):
                async with asyncio.timeout(self._seconds):
                    media = await self._store_upload(upload, kind, name, packages)
        finally:
            upload.drop()
        self._metrics.media_stored.labels(kind).inc()
        self._metrics.media_stored_bytes.inc(media.size)
        self._cache_record(media)
        return media

    async def find(self, id: str) -> Media | None:
        """The media with this id. Raises RequestError."""
        if (cached := self._cache.get(id)) is not None:
            self._cache.move_to_end(id)
            return cached
        if not _ID.fullmatch(id):
            return None
        with self._failures.reported("find"):
            async with asyncio.timeout(self._seconds):
                record = await self._store.load(f"records/{id}")
            return None if record is None else self._cache_record(msgspec.json.decode(record, type=Media))

    async def read(self, media: Media, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop` (None: the end) in chunks of at most 256 KiB, each read on demand. A
        caller that stops early closes the generator (`contextlib.aclosing`). Raises RequestError, also after some
        chunks."""
        stop = media.size if stop is None else min(stop, media.size)
        if not _SHA256.fullmatch(media.sha256):
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such file")
        async with aclosing(self._store.read(f"blobs/{media.sha256}", start, stop)) as chunks:
            while (chunk := await self._next_chunk(chunks)) is not None:
                self._metrics.media_read_bytes.inc(len(chunk))
                yield chunk

    async def close(self) -> None:
        """To be called after all users of the service have ended."""
        await self._disk.close()

    async def _store_upload(self, upload: Upload, kind: str, name: str, packages: int) -> Media:
        source, digest = await upload.finish()
        if not await self._store.put(f"blobs/{digest}", source, upload.size):
            self._metrics.media_duplicates.inc()
        id, file_type = secrets.token_hex(16), sniff(upload.head)
        safe = safe_name(name) or f"{kind}-{id}{file_type.extension}"
        media = Media(id, safe, upload.size, digest, file_type.mime, packages)
        await self._store.write(f"records/{id}", msgspec.json.encode(media))
        return media

    async def _next_chunk(self, chunks: AsyncGenerator[bytes]) -> bytes | None:
        with self._failures.reported("read"):
            try:
                async with asyncio.timeout(self._seconds):
                    return await anext(chunks, None)
            except FileNotFoundError as error:
                raise RequestError(ErrorCode.NOT_FOUND, "there is no such file") from error

    def _cache_record(self, media: Media) -> Media:
        self._cache[media.id] = media
        while len(self._cache) > _CACHED_RECORDS:
            self._cache.popitem(last=False)
        return media
