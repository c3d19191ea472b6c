"""One suite for both stores: a directory, and a bucket of a real server."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.edge.media import MediaService
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Media
from shared.settings import Media as Where
from tests.unit.services.edge.media.conftest import LIMIT, TIMEOUT_SECONDS, Open

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
NOWHERE = Media("0" * 32, "a", 3, "0" * 64, "image/png")


async def keep(room: MediaService, content: bytes, name: str = "") -> Media:
    upload = room.start_upload()
    for start in range(0, len(content), 100_000):
        await upload.write(content[start : start + 100_000])
    return await room.store(upload, "image", name, packages=3)


async def content(room: MediaService, media: Media, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in room.read(media, start, stop)])


async def refusal(asking: Awaitable[object]) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        await asking
    return caught.value.failure.code


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"dragoman_edge_media_{name}_total", labels)


async def test_what_is_kept_is_found_and_read_by_every_edge(open_room: Open) -> None:
    here, there = await open_room(), await open_room()
    media = await keep(here, PNG, "a.png")
    assert re.fullmatch(r"[0-9a-f]{32}", media.id)
    assert media == Media(media.id, "a.png", len(PNG), sha256(PNG).hexdigest(), "image/png", 3)
    assert await here.find(media.id) == await there.find(media.id) == media
    assert await content(there, media) == PNG


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (10, 300_000), (262_144, 262_145), (5, None), (5, 5), (9, 10**9)])
async def test_a_part_of_it_is_read(room: MediaService, start: int, stop: int | None) -> None:
    media = await keep(room, PNG)
    assert await content(room, media, start, stop) == PNG[start:stop]


async def test_it_is_read_in_small_pieces(room: MediaService) -> None:
    large = bytes(9_000_000)
    media = await keep(room, large)
    pieces = [chunk async for chunk in room.read(media)]
    assert max(map(len, pieces)) == 256 * 1024
    assert b"".join(pieces) == large


async def test_a_content_is_kept_once(open_room: Open, registry: CollectorRegistry) -> None:
    here, there = await open_room(), await open_room()
    first, second, other = await keep(here, PNG, "a.png"), await keep(there, PNG, "b.png"), await keep(there, b"other")
    assert first.id != second.id
    assert (await there.find(first.id), await here.find(second.id)) == (first, second)
    assert await content(there, first) == await content(here, second) == PNG
    assert counted(registry, "known") == 1
    assert counted(registry, "kept", kind="image") == 3
    assert counted(registry, "kept_bytes") == 2 * len(PNG) + other.size


async def test_the_same_content_may_come_at_the_same_time(room: MediaService) -> None:
    kept = await asyncio.gather(*(keep(room, PNG, f"{number}.png") for number in range(10)))
    assert len({media.id for media in kept}) == 10
    assert [await content(room, media) for media in kept] == [PNG] * 10


@pytest.mark.parametrize("id", ["0" * 32, "", "../" + "0" * 29, "A" * 32, "٣" * 32, "0" * 31 + "\n", "0" * 33])
async def test_an_address_that_nobody_gave_is_nothing(room: MediaService, id: str) -> None:
    assert await room.find(id) is None


async def test_content_that_is_not_there_is_not_found(room: MediaService, where: Where) -> None:
    assert await refusal(content(room, NOWHERE)) is ErrorCode.NOT_FOUND
    where.directory.joinpath("outside").write_bytes(b"any")
    outside = Media(NOWHERE.id, "a", 3, "../outside", "image/png")
    assert await refusal(content(room, outside)) is ErrorCode.NOT_FOUND


async def test_a_file_may_be_empty(room: MediaService) -> None:
    media = await keep(room, b"")
    assert (media.size, media.mime, await content(room, media)) == (0, "application/octet-stream", b"")


async def test_a_file_without_a_name_is_called_by_what_it_is(room: MediaService) -> None:
    picture = await keep(room, PNG, "")
    assert picture.name == f"image-{picture.id}.png"
    file = room.start_upload()
    await file.write(b"anything")
    media = await room.store(file, "file", "..")
    assert media.name == f"file-{media.id}"


async def test_a_file_says_by_its_content_what_it_is(room: MediaService) -> None:
    media = await keep(room, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "picture.png")
    assert media.mime == "application/octet-stream"


async def test_a_file_has_a_largest_size(room: MediaService) -> None:
    upload = room.start_upload()
    await upload.write(bytes(LIMIT - 1))
    assert await refusal(upload.write(b"12")) is ErrorCode.TOO_LARGE
    await upload.write(b"1")
    assert (await room.store(upload, "file")).size == LIMIT


async def test_nothing_is_left_of_what_was_kept_or_dropped(
    room: MediaService, spooled: Callable[[], list[str]]
) -> None:
    await keep(room, PNG)
    dropped = room.start_upload()
    await dropped.write(PNG)
    assert len(spooled()) >= 1
    dropped.drop()
    dropped.drop()
    room.start_upload().drop()
    await room.close()
    assert spooled() == []


async def test_what_was_dropped_is_not_kept(room: MediaService) -> None:
    upload = room.start_upload()
    await upload.write(b"something")
    upload.drop()
    assert await refusal(upload.write(b"more")) is ErrorCode.UNAVAILABLE
    assert await refusal(room.store(upload, "file")) is ErrorCode.UNAVAILABLE


async def test_a_store_that_fails_is_unavailable(
    open_room: Open, registry: CollectorRegistry, break_store: Callable[[], None]
) -> None:
    here, there = await open_room(), await open_room()
    media = await keep(here, PNG)
    break_store()
    asking = (there.find(media.id), keep(there, b"news"), content(there, media))
    with capture_logs() as logs:
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            assert await asyncio.gather(*map(refusal, asking)) == [ErrorCode.UNAVAILABLE] * 3
    assert [counted(registry, "failures", doing=doing) for doing in ("find", "keep", "read")] == [1, 1, 1]
    assert sorted(entry["doing"] for entry in logs) == ["find", "keep", "read"]
    assert "hush" not in str(logs)
    assert await here.find(media.id) == media, "it is remembered"


async def test_an_upload_that_nobody_waits_for_is_not_left(
    room: MediaService, spooled: Callable[[], list[str]], break_store: Callable[[], None]
) -> None:
    upload = room.start_upload()
    await upload.write(PNG)
    break_store()
    keeping = asyncio.create_task(room.store(upload, "file"))
    await asyncio.sleep(0.05)
    keeping.cancel()
    await asyncio.wait([keeping])
    await room.close()
    assert spooled() == []
