"""Tests the layout of a directory, and failures that only a directory has."""

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
from shared.settings.messages import MediaSettings
from tests.unit.services.edge.media.conftest import TIMEOUT_SECONDS, OpenMedia
from tests.unit.services.edge.media.test_service import PNG, content, error_code, store

ID = "0" * 32


@pytest.fixture
def media_settings(tmp_path: Path) -> MediaSettings:
    return MediaSettings(directory=tmp_path / "media", timeout_seconds=TIMEOUT_SECONDS)


@contextmanager
def full_disk() -> Iterator[None]:
    """Inside this context, no file can grow beyond 50 kB. The log of a test is smaller."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_each_content_is_one_private_file(media_service: MediaService, media_settings: MediaSettings) -> None:
    for _ in range(3):
        media = await store(media_service, PNG)
    (blob,) = (media_settings.directory / "blobs").iterdir()
    assert (blob.name, blob.read_bytes()) == (sha256(PNG).hexdigest(), PNG)
    assert media.id in {record.name for record in (media_settings.directory / "records").iterdir()}
    assert [
        path.stat().st_mode & 0o077 for path in media_settings.directory.rglob("*") if path.is_dir() or path == blob
    ] == [0] * 7


async def test_an_incomplete_file_of_a_crash_is_replaced(
    media_service: MediaService, media_settings: MediaSettings
) -> None:
    (media_settings.directory / "blobs" / sha256(PNG).hexdigest()).write_bytes(PNG[:1000])
    assert await content(media_service, await store(media_service, PNG)) == PNG


async def test_a_full_disk_is_unavailable_and_recovers(media_service: MediaService) -> None:
    upload = media_service.start_upload()
    await upload.write(b"x" * 900)
    with full_disk():
        assert await error_code(upload.write(PNG)) is ErrorCode.UNAVAILABLE
    upload.drop()
    assert await content(media_service, await store(media_service, PNG)) == PNG


async def test_a_hanging_disk_is_unavailable_after_the_time_out(
    media_service: MediaService, media_settings: MediaSettings
) -> None:
    record = media_settings.directory / "records" / ID
    os.mkfifo(record)  # opening a pipe blocks until a process writes to it
    started = time.monotonic()
    try:
        assert await error_code(media_service.find(ID)) is ErrorCode.UNAVAILABLE
    finally:
        os.close(os.open(record, os.O_RDWR))
    assert TIMEOUT_SECONDS <= time.monotonic() - started < 2 * TIMEOUT_SECONDS


async def test_a_damaged_record_is_unavailable(media_service: MediaService, media_settings: MediaSettings) -> None:
    (media_settings.directory / "records" / ID).write_bytes(b'["half')
    assert await error_code(media_service.find(ID)) is ErrorCode.UNAVAILABLE


async def test_a_truncated_file_is_unavailable(media_service: MediaService, media_settings: MediaSettings) -> None:
    media = await store(media_service, PNG)
    os.truncate(media_settings.directory / "blobs" / media.sha256, 300_000)
    assert await error_code(content(media_service, media)) is ErrorCode.UNAVAILABLE


async def test_temporary_files_of_crashes_are_removed_after_a_day(
    open_media: OpenMedia, media_settings: MediaSettings
) -> None:
    await open_media()
    spool, now = media_settings.directory / "spool", time.time()
    for name, hours in (("fresh", 1), ("yesterday", 23), ("old", 25)):
        (spool / name).write_bytes(b"half")
        os.utime(spool / name, (now, now - hours * 3600))
    await open_media()
    assert sorted(path.name for path in spool.iterdir()) == ["fresh", "yesterday"]


async def test_a_drop_during_a_write_removes_the_file(
    media_service: MediaService, media_settings: MediaSettings
) -> None:
    for _ in range(20):
        upload = media_service.start_upload()
        writing = asyncio.create_task(upload.write(PNG))
        await asyncio.sleep(0)
        upload.drop()
        await asyncio.wait([writing])
        assert isinstance(writing.exception(), RequestError | None)
    await media_service.close()
    assert list((media_settings.directory / "spool").iterdir()) == []


async def test_a_directory_that_cannot_be_created_is_an_error(
    open_media: OpenMedia, media_settings: MediaSettings
) -> None:
    media_settings.directory.write_bytes(b"in the way")
    with pytest.raises(StartupError, match=r"media\.directory"):
        await open_media()
