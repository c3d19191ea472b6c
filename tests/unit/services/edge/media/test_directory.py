"""What a directory may suffer, and what it looks like."""

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from services.edge.media import MediaService
from shared.contract.errors import ErrorCode, RequestError
from shared.errors import StartupError
from shared.settings import Media
from tests.unit.services.edge.media.conftest import TIMEOUT_SECONDS, Open
from tests.unit.services.edge.media.test_service import PNG, content, keep, refusal

ID = "0" * 32


@pytest.fixture
def where(tmp_path: Path) -> Media:
    return Media(directory=tmp_path / "media", timeout_seconds=TIMEOUT_SECONDS)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond 50 kB; a log of a test does not come so far."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_each_content_is_one_file_for_its_owner_only(room: MediaService, where: Media) -> None:
    for _ in range(3):
        media = await keep(room, PNG)
    (blob,) = (where.directory / "blobs").iterdir()
    assert (blob.name, blob.read_bytes()) == (sha256(PNG).hexdigest(), PNG)
    assert media.id in {record.name for record in (where.directory / "records").iterdir()}
    assert [path.stat().st_mode & 0o077 for path in where.directory.rglob("*") if path.is_dir() or path == blob] == [
        0
    ] * 4


async def test_half_a_file_of_an_older_crash_is_replaced(room: MediaService, where: Media) -> None:
    (where.directory / "blobs" / sha256(PNG).hexdigest()).write_bytes(PNG[:1000])
    assert await content(room, await keep(room, PNG)) == PNG


async def test_a_full_disk_refuses_and_recovers(room: MediaService) -> None:
    upload = room.start_upload()
    await upload.write(b"x" * 900)
    with full_disk():
        assert await refusal(upload.write(PNG)) is ErrorCode.UNAVAILABLE
    upload.drop()
    assert await content(room, await keep(room, PNG)) == PNG


async def test_a_disk_that_hangs_holds_nobody_up_for_long(room: MediaService, where: Media) -> None:
    record = where.directory / "records" / ID
    os.mkfifo(record)  # to open it takes until somebody writes
    started = time.monotonic()
    try:
        assert await refusal(room.find(ID)) is ErrorCode.UNAVAILABLE
    finally:
        os.close(os.open(record, os.O_RDWR))
    assert TIMEOUT_SECONDS <= time.monotonic() - started < 2 * TIMEOUT_SECONDS


async def test_a_damaged_record_is_unavailable(room: MediaService, where: Media) -> None:
    (where.directory / "records" / ID).write_bytes(b'["half')
    assert await refusal(room.find(ID)) is ErrorCode.UNAVAILABLE


async def test_a_file_cut_short_is_unavailable(room: MediaService, where: Media) -> None:
    media = await keep(room, PNG)
    os.truncate(where.directory / "blobs" / media.sha256, 300_000)
    assert await refusal(content(room, media)) is ErrorCode.UNAVAILABLE


async def test_leftovers_of_crashes_go_a_day_later(open_room: Open, where: Media) -> None:
    await open_room()
    spool, now = where.directory / "spool", time.time()
    for name, hours in (("fresh", 1), ("yesterday", 23), ("old", 25)):
        (spool / name).write_bytes(b"half")
        os.utime(spool / name, (now, now - hours * 3600))
    await open_room()
    assert sorted(path.name for path in spool.iterdir()) == ["fresh", "yesterday"]


async def test_a_drop_during_a_write_leaves_nothing(room: MediaService, where: Media) -> None:
    for _ in range(20):
        upload = room.start_upload()
        writing = asyncio.create_task(upload.write(PNG))
        await asyncio.sleep(0)
        upload.drop()
        await asyncio.wait([writing])
        assert isinstance(writing.exception(), RequestError | None)
    await room.close()
    assert list((where.directory / "spool").iterdir()) == []


async def test_a_directory_that_cannot_be_made_is_an_error(open_room: Open, where: Media) -> None:
    where.directory.write_bytes(b"in the way")
    with pytest.raises(StartupError, match=r"media\.directory"):
        await open_room()
