"""Opens the media service of an edge, with the store that the settings name, and with its quotas and sweeper."""

import asyncio
import time
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from services.edge.media.directory import DirectoryStore
from services.edge.media.disk import Disk
from services.edge.media.quota import MediaCounters, MediaQuota
from services.edge.media.resumable import ResumableUploads
from services.edge.media.service import MediaService
from services.edge.media.store import UPLOAD_KINDS, MediaRetention, MediaStore, load_record, retention
from services.edge.metrics import EdgeMetrics
from shared.clock import now_ms
from shared.contract.ids import NodeId
from shared.settings import Settings
from shared.settings.messages import MediaSettings
from shared.telemetry import log

# The sweeper removes expired files, and files to which nothing refers any more. It runs once a day, in small steps. One
# elected edge sweeps for all edges.

_log = log(__name__)
_FIRST_SECONDS = 60.0
_CHECK_SECONDS = 3600.0
_INTERVAL_SECONDS = 23 * 3600
_ORPHAN_SECONDS = 86_400.0
"""The age at which a blob (the content of a file) is removed if it has no record. Its record is normally stored within
seconds."""
_PAUSE_SECONDS = 0.05
"""The pause after each batch of 500 keys."""


@dataclass
class MediaSweep:
    """The result of one sweep. `files` and `size`: the number and the bytes of the remaining files. `size` includes the
    parts of uploads. `abandoned`: the number of removed records and parts of uploads."""

    expired: int = 0
    orphans: int = 0
    files: int = 0
    size: int = 0
    abandoned: int = 0


async def sweep(
    store: MediaStore, retention: MediaRetention, *, orphan_seconds: float = _ORPHAN_SECONDS, pause: float = 0.0
) -> MediaSweep:
    """Remove expired records, and then blobs without a record. If a record cannot be read, no blob is removed. Raises
    OSError."""
    found, referenced, before = MediaSweep(), set[str](), time.time() - orphan_seconds
    unreadable = False
    async for batch in store.list("records"):
        for stored in batch:
            try:
                record = await load_record(store, stored.key)
            except msgspec.MsgspecError:
                _log.warning("a record of media cannot be read", key=stored.key)
                unreadable = True
                continue
            if record is None:
                continue
            if retention.expired(record, now_ms()):
                found.expired += await store.delete(stored.key)
            else:
                referenced.add(record.sha256)
        await asyncio.sleep(pause)
    async for batch in store.list("blobs"):
        for stored in batch:
            is_orphan = stored.key.removeprefix("blobs/") not in referenced and not unreadable
            if is_orphan and stored.modified < before and await store.delete(stored.key, older_than=before):
                found.orphans += 1
            else:
                found.files += 1
                found.size += stored.size
        await asyncio.sleep(pause)
    return found


async def sweep_uploads(store: MediaStore, retention: MediaRetention, found: MediaSweep, *, pause: float = 0.0) -> None:
    """Remove the records and parts of uploads that are older than an unfinished upload may be. The parts of an upload
    are younger than its record. Raises OSError."""
    before = time.time() - retention.unfinished * 86_400
    for kind in UPLOAD_KINDS:
        async for batch in store.list(kind):
            for stored in batch:
                if stored.modified < before and await store.delete(stored.key, older_than=before):
                    found.abandoned += 1
                else:
                    found.size += stored.size
            await asyncio.sleep(pause)


@dataclass(frozen=True)
class MediaSweeper:
    _node: NodeId
    _media: MediaService
    _store: MediaStore
    _retention: MediaRetention
    _counters: MediaCounters
    _quota: MediaQuota

    async def run(self) -> None:
        wait = _FIRST_SECONDS
        while True:
            await asyncio.sleep(wait)
            wait = _CHECK_SECONDS
            try:
                await self._media.remove_stale_uploads()
                if await self._counters.elect_sweeper(self._node, _INTERVAL_SECONDS):
                    await self._sweep()
            except OSError as error:
                _log.warning("media not swept", error=repr(error))

    async def close(self) -> None:
        await self._counters.close()

    async def _sweep(self) -> None:
        found = await sweep(self._store, self._retention, pause=_PAUSE_SECONDS)
        await sweep_uploads(self._store, self._retention, found, pause=_PAUSE_SECONDS)
        await self._quota.measured(found.size)
        _log.info(
            "media swept", expired=found.expired, orphans=found.orphans, abandoned=found.abandoned, files=found.files,
            bytes=found.size,
        )  # fmt: skip


def open_store(settings: MediaSettings, disk: Disk) -> MediaStore:
    if settings.bucket_url:
        from services.edge.media.bucket import BucketStore  # imported here, because the S3 library needs much memory

        return BucketStore(settings)
    return DirectoryStore(settings.directory, disk)


class OpenedMedia(NamedTuple):
    service: MediaService
    resumable: ResumableUploads
    sweeper: MediaSweeper


def open_media(node: NodeId, settings: Settings, metrics: EdgeMetrics) -> OpenedMedia:
    disk = Disk()
    store, counters = open_store(settings.media, disk), MediaCounters(settings.redis)
    quota = MediaQuota(counters, settings.media)
    media = MediaService(store, settings, metrics, disk, quota)
    resumable = ResumableUploads(store, media, settings, metrics, quota)
    return OpenedMedia(media, resumable, MediaSweeper(node, media, store, retention(settings), counters, quota))
