"""Tests the media service on both kinds of store: a directory, and a bucket of a real server."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.edge.media import MediaService
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Media
from shared.settings.messages import MediaSettings
from tests.unit.services.edge.media.conftest import LIMIT, TIMEOUT_SECONDS, OpenMedia

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
MISSING = Media("0" * 32, "a", 3, "0" * 64, "image/png")


async def store(media_service: MediaService, content: bytes, name: str = "") -> Media:
    upload = media_service.start_upload()
    for start in range(0, len(content), 100_000):
        await upload.write(content[start : start + 100_000])
    return await media_service.store(upload, "image", name, packages=3)


async def content(media_service: MediaService, media: Media, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in media_service.read(media, start, stop)])


async def error_code(request: Awaitable[object]) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        await request
    return caught.value.failure.code


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"dragoman_edge_media_{name}_total", labels)


async def test_stored_media_are_found_and_read_by_every_edge(open_media: OpenMedia) -> None:
    here, there = await open_media(), await open_media()
    media = await store(here, PNG, "a.png")
    assert re.fullmatch(r"[0-9a-f]{32}", media.id)
    assert media == Media(media.id, "a.png", len(PNG), sha256(PNG).hexdigest(), "image/png", 3)
    assert await here.find(media.id) == await there.find(media.id) == media
    assert await content(there, media) == PNG


async def test_an_address_that_was_removed_elsewhere_is_soon_forgotten(
    open_media: OpenMedia, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await open_media(), await open_media()
    media = await store(here, PNG)
    assert await there.find(media.id) == media
    await here.discard(media.id)
    assert await here.find(media.id) is None
    assert await there.find(media.id) == media, "known for five minutes"
    later = time.monotonic() + 301
    monkeypatch.setattr("services.edge.media.service.time.monotonic", lambda: later)
    assert await there.find(media.id) is None


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (10, 300_000), (262_144, 262_145), (5, None), (5, 5), (9, 10**9)])
async def test_a_range_is_read(media_service: MediaService, start: int, stop: int | None) -> None:
    media = await store(media_service, PNG)
    assert await content(media_service, media, start, stop) == PNG[start:stop]


async def test_media_are_read_in_small_chunks(media_service: MediaService) -> None:
    large = bytes(9_000_000)
    media = await store(media_service, large)
    chunks = [chunk async for chunk in media_service.read(media)]
    assert max(map(len, chunks)) == 256 * 1024
    assert b"".join(chunks) == large


async def test_content_is_stored_once(open_media: OpenMedia, registry: CollectorRegistry) -> None:
    here, there = await open_media(), await open_media()
    first, second, other = (
        await store(here, PNG, "a.png"),
        await store(there, PNG, "b.png"),
        await store(there, b"other"),
    )
    assert first.id != second.id
    assert (await there.find(first.id), await here.find(second.id)) == (first, second)
    assert await content(there, first) == await content(here, second) == PNG
    assert counted(registry, "known") == 1
    assert counted(registry, "kept", kind="image") == 3
    assert counted(registry, "kept_bytes") == 2 * len(PNG) + other.size


async def test_the_same_content_may_be_stored_concurrently(media_service: MediaService) -> None:
    stored = await asyncio.gather(*(store(media_service, PNG, f"{number}.png") for number in range(10)))
    assert len({media.id for media in stored}) == 10
    assert [await content(media_service, media) for media in stored] == [PNG] * 10


@pytest.mark.parametrize("id", ["0" * 32, "", "../" + "0" * 29, "A" * 32, "٣" * 32, "0" * 31 + "\n", "0" * 33])
async def test_an_unknown_id_is_not_found(media_service: MediaService, id: str) -> None:
    assert await media_service.find(id) is None


async def test_missing_content_is_not_found(media_service: MediaService, media_settings: MediaSettings) -> None:
    assert await error_code(content(media_service, MISSING)) is ErrorCode.NOT_FOUND
    media_settings.directory.joinpath("outside").write_bytes(b"any")
    outside = Media(MISSING.id, "a", 3, "../outside", "image/png")
    assert await error_code(content(media_service, outside)) is ErrorCode.NOT_FOUND


async def test_a_file_may_be_empty(media_service: MediaService) -> None:
    media = await store(media_service, b"")
    assert (media.size, media.mime, await content(media_service, media)) == (0, "application/octet-stream", b"")


async def test_a_file_without_a_name_is_named_after_its_type(media_service: MediaService) -> None:
    picture = await store(media_service, PNG, "")
    assert picture.name == f"image-{picture.id}.png"
    file = media_service.start_upload()
    await file.write(b"anything")
    media = await media_service.store(file, "file", "..")
    assert media.name == f"file-{media.id}"


async def test_a_file_has_a_maximum_size(media_service: MediaService) -> None:
    upload = media_service.start_upload()
    await upload.write(bytes(LIMIT - 1))
    assert await error_code(upload.write(b"12")) is ErrorCode.TOO_LARGE
    await upload.write(b"1")
    assert (await media_service.store(upload, "file")).size == LIMIT


async def test_no_temporary_file_remains_of_stored_and_dropped_uploads(
    media_service: MediaService, temporary_files: Callable[[], list[str]]
) -> None:
    await store(media_service, PNG)
    dropped = media_service.start_upload()
    await dropped.write(PNG)
    assert len(temporary_files()) >= 1
    dropped.drop()
    dropped.drop()
    media_service.start_upload().drop()
    await media_service.close()
    assert temporary_files() == []


async def test_a_dropped_upload_cannot_be_stored(media_service: MediaService) -> None:
    upload = media_service.start_upload()
    await upload.write(b"something")
    upload.drop()
    assert await error_code(upload.write(b"more")) is ErrorCode.UNAVAILABLE
    assert await error_code(media_service.store(upload, "file")) is ErrorCode.UNAVAILABLE


async def test_a_failing_store_is_unavailable(
    open_media: OpenMedia, registry: CollectorRegistry, break_store: Callable[[], None]
) -> None:
    here, there = await open_media(), await open_media()
    media = await store(here, PNG)
    break_store()
    request = (there.find(media.id), store(there, b"news"), content(there, media))
    with capture_logs() as logs:
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            assert await asyncio.gather(*map(error_code, request)) == [ErrorCode.UNAVAILABLE] * 3
    assert [counted(registry, "failures", doing=doing) for doing in ("find", "keep", "read")] == [1, 1, 1]
    assert sorted(entry["doing"] for entry in logs) == ["find", "keep", "read"]
    assert "hush" not in str(logs)
    assert await here.find(media.id) == media, "it is cached"


async def test_a_cancelled_upload_is_removed(
    media_service: MediaService, temporary_files: Callable[[], list[str]], break_store: Callable[[], None]
) -> None:
    upload = media_service.start_upload()
    await upload.write(PNG)
    break_store()
    storing = asyncio.create_task(media_service.store(upload, "file"))
    await asyncio.sleep(0.05)
    storing.cancel()
    await asyncio.wait([storing])
    await media_service.close()
    assert temporary_files() == []
