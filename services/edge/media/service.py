"""The media room: it keeps uploads, finds them by address, and reads them. The store behind it only knows keys."""

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

_REMEMBERED = 10_000
_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class MediaService:
    def __init__(self, store: MediaStore, settings: Settings, metrics: EdgeMetrics, disk: Disk) -> None:
        self._store = store
        self._failures = StoreFailures(metrics)
        self._directory = settings.media.directory
        self._spool = UploadBuffer(self._directory / SPOOL, settings.limits.file_bytes, disk, self._failures)
        self._seconds = settings.media.timeout_seconds
        self._metrics = metrics
        self._disk = disk
        self._known: OrderedDict[str, Media] = OrderedDict()

    async def prepare(self) -> None:
        """Before anything else. Raises Unprepared."""
        try:
            await self._spool.prepare()
            await self._store.prepare()
        except OSError as error:
            where = error.filename or self._directory
            raise StartupError(f"the directory {where} (media.directory) cannot be used: {error.strerror}") from error

    def start_upload(self) -> Upload:
        """A new file, to be written, then kept or dropped."""
        return self._spool.start_upload()

    async def store(self, upload: Upload, kind: Literal["image", "file"], name: str = "", packages: int = 0) -> Media:
        """Give an upload an address: it is durable when this returns. The upload ends here, also when this fails.
        Raises Refused."""
        try:
            with self._failures.reported("keep"):
                async with asyncio.timeout(self._seconds):
                    media = await self._keep(upload, kind, name, packages)
        finally:
            upload.drop()
        self._metrics.media_stored.labels(kind).inc()
        self._metrics.media_stored_bytes.inc(media.size)
        self._remember(media)
        return media

    async def find(self, id: str) -> Media | None:
        """What is at an address. Raises Refused."""
        if (known := self._known.get(id)) is not None:
            self._known.move_to_end(id)
            return known
        if not _ID.fullmatch(id):
            return None
        with self._failures.reported("find"):
            async with asyncio.timeout(self._seconds):
                record = await self._store.load(f"records/{id}")
            return None if record is None else self._remember(msgspec.json.decode(record, type=Media))

    async def read(self, media: Media, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop` (the end), in chunks of at most 256 KiB, each read when it is asked for:
        whoever stops early closes the generator (`contextlib.aclosing`). Raises Refused, also half way."""
        stop = media.size if stop is None else min(stop, media.size)
        if not _SHA256.fullmatch(media.sha256):
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such file")
        async with aclosing(self._store.read(f"blobs/{media.sha256}", start, stop)) as chunks:
            while (chunk := await self._next(chunks)) is not None:
                self._metrics.media_read_bytes.inc(len(chunk))
                yield chunk

    async def close(self) -> None:
        """After everything that uses it has ended."""
        await self._disk.close()

    async def _keep(self, upload: Upload, kind: str, name: str, packages: int) -> Media:
        source, digest = await upload.finish()
        if not await self._store.put(f"blobs/{digest}", source, upload.size):
            self._metrics.media_duplicates.inc()
        id, type = secrets.token_hex(16), sniff(upload.head)
        named = safe_name(name) or f"{kind}-{id}{type.extension}"
        media = Media(id, named, upload.size, digest, type.mime, packages)
        await self._store.write(f"records/{id}", msgspec.json.encode(media))
        return media

    async def _next(self, chunks: AsyncGenerator[bytes]) -> bytes | None:
        with self._failures.reported("read"):
            try:
                async with asyncio.timeout(self._seconds):
                    return await anext(chunks, None)
            except FileNotFoundError as error:
                raise RequestError(ErrorCode.NOT_FOUND, "there is no such file") from error

    def _remember(self, media: Media) -> Media:
        self._known[media.id] = media
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return media
