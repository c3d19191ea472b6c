"""Files are removed on both kinds of store: expired, orphaned and rejected ones."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.edge.media import MediaService
from services.edge.media.disk import Disk
from services.edge.media.opening import MediaSweep, open_store, sweep
from services.edge.media.store import MediaRecord, MediaRetention, MediaStore, MediaUse, StoredKey
from shared.clock import now_ms
from shared.contract.body import pack_segments
from shared.contract.ids import AccountId
from shared.contract.model import Image, Media
from shared.settings.messages import MediaSettings
from tests.unit.services.edge.media.conftest import OpenMedia
from tests.unit.services.edge.media.test_service import PNG, content, store

ALICE = AccountId(7)
DAY_MS = 86_400_000
FOR_EVER = MediaRetention(0, 0)


@pytest.fixture
async def media_store(media_settings: MediaSettings) -> AsyncIterator[MediaStore]:
    disk = Disk()
    yield open_store(media_settings, disk)
    await disk.close()


async def keys(media_store: MediaStore, kind: str) -> list[StoredKey]:
    return [stored async for batch in media_store.list(kind) for stored in batch]


def record(days: float, use: MediaUse) -> MediaRecord:
    created = int(now_ms() - days * DAY_MS) if days else 0
    return MediaRecord("0" * 32, "a", 1, "0" * 64, "image/png", created=created, use=use)


@pytest.mark.parametrize(
    ("retention", "days", "use", "expired"),
    [
        (FOR_EVER, 900, MediaUse.POSTED, False),
        (MediaRetention(30, 0), 31, MediaUse.POSTED, True),
        (MediaRetention(30, 0), 29, MediaUse.POSTED, False),
        (MediaRetention(30, 0), 31, MediaUse.UPLOADED, True),
        (MediaRetention(30, 0), 31, MediaUse.AVATAR, False),
        (MediaRetention(30, 1), 0, MediaUse.UPLOADED, False),
        (MediaRetention(0, 1), 2, MediaUse.UPLOADED, True),
        (MediaRetention(0, 1), 2, MediaUse.POSTED, False),
    ],
)
def test_a_file_expires_by_its_age_and_use(
    retention: MediaRetention, days: float, use: MediaUse, expired: bool
) -> None:
    assert retention.expired(record(days, use), now_ms()) is expired


def test_the_version_before_reads_a_record_and_its_records_are_read() -> None:
    """The previous version does not have the size of a picture."""
    new = msgspec.structs.replace(record(1, MediaUse.POSTED), width=640, height=480)
    assert (new.media.width, new.media.height) == (640, 480)
    fields = msgspec.to_builtins(new)
    assert msgspec.convert(fields[:9], MediaRecord) == msgspec.structs.replace(new, width=0, height=0)


def test_a_message_does_not_contain_the_owner_of_its_picture() -> None:
    shown = Image(record(1, MediaUse.POSTED).media)
    assert pack_segments((shown,)) == pack_segments((Image(Media("0" * 32, "a", 1, "0" * 64, "image/png")),))


async def test_orphans_are_removed_when_they_are_old_enough(
    media_service: MediaService, media_store: MediaStore
) -> None:
    kept, discarded = await store(media_service, PNG), await store(media_service, b"discarded")
    await media_service.discard(discarded.id)
    assert await media_service.find(discarded.id) is None
    assert await sweep(media_store, FOR_EVER) == MediaSweep(files=2, size=len(PNG) + 9)
    assert await sweep(media_store, FOR_EVER, orphan_seconds=-60) == MediaSweep(orphans=1, files=1, size=len(PNG))
    assert [stored.key for stored in await keys(media_store, "blobs")] == [f"blobs/{kept.sha256}"]
    assert await content(media_service, kept) == PNG


async def test_expired_files_are_removed_with_their_content_unless_another_address_has_it(
    media_service: MediaService, media_store: MediaStore
) -> None:
    lasting = await store(media_service, PNG)
    for number, body in enumerate((PNG, b"old")):
        old = MediaRecord(
            f"{number:032x}", "a", len(body), (await store(media_service, body)).sha256, "image/png",
            account=ALICE, created=now_ms() - 40 * DAY_MS, use=MediaUse.POSTED,
        )  # fmt: skip
        await media_store.write(f"records/{old.id}", msgspec.json.encode(old))
    found = await sweep(media_store, MediaRetention(30, 0))
    assert (found.expired, found.orphans) == (2, 0)
    assert await media_store.load(f"records/{1:032x}") is None
    assert await content(media_service, lasting) == PNG


async def test_an_expired_file_is_not_found_before_it_is_swept(
    media_service: MediaService, media_store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = await store(media_service, PNG)
    monkeypatch.setattr(media_service, "_retention", MediaRetention(1, 0))
    assert await media_service.find(media.id) == media
    monkeypatch.setattr("services.edge.media.service.now_ms", lambda: now_ms() + 2 * DAY_MS)
    assert await media_service.find(media.id) is None


async def test_a_file_that_is_used_is_marked_once(media_service: MediaService, media_store: MediaStore) -> None:
    media = await store(media_service, PNG)
    for use in (MediaUse.POSTED, MediaUse.AVATAR, MediaUse.POSTED):
        assert await media_service.mark_used(media.id, use) == media
    loaded = await media_store.load(f"records/{media.id}")
    assert loaded is not None
    assert msgspec.json.decode(loaded, type=MediaRecord).use is MediaUse.AVATAR
    assert await media_service.mark_used("0" * 32, MediaUse.POSTED) is None


async def test_marking_a_file_neither_restores_its_address_nor_lowers_its_use(
    open_media: OpenMedia, media_store: MediaStore
) -> None:
    here, there = await open_media(), await open_media()
    removed, avatar = await store(here, PNG), await store(here, PNG)
    for one in (removed, avatar):
        assert await there.find(one.id) == one
    await here.discard(removed.id)
    await here.mark_used(avatar.id, MediaUse.AVATAR)
    assert await there.mark_used(removed.id, MediaUse.POSTED) is None
    assert await media_store.load(f"records/{removed.id}") is None
    assert await there.mark_used(avatar.id, MediaUse.POSTED) == avatar
    loaded = await media_store.load(f"records/{avatar.id}")
    assert loaded is not None
    assert msgspec.json.decode(loaded, type=MediaRecord).use is MediaUse.AVATAR


async def test_an_unreadable_record_keeps_every_content(media_service: MediaService, media_store: MediaStore) -> None:
    await media_service.discard((await store(media_service, PNG)).id)
    await media_store.write(f"records/{'0' * 32}", b'["half')
    assert (await sweep(media_store, FOR_EVER, orphan_seconds=-60)).orphans == 0


async def test_old_content_is_stored_again_so_that_a_sweep_leaves_it_alone(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    settings, disk = MediaSettings(directory=tmp_path), Disk()
    media_store = open_store(settings, disk)
    await media_store.prepare()
    old = time.time() - 30 * 3600
    for number in range(2):
        source = tmp_path / "spool" / str(number)
        source.write_bytes(PNG)
        assert await media_store.put("blobs/b", source, len(PNG)) is (number == 0)
        if number == 0:
            os.utime(tmp_path / "blobs" / "b", (old, old))
    assert not await media_store.delete("blobs/b", older_than=time.time() - 86_400)
    assert await media_store.delete("blobs/b")
    assert not await media_store.delete("blobs/b")
    await disk.close()
