import re
from hashlib import sha256

from services.edge.media import MediaRoom
from shared.contract.model import Media
from tests.services.edge.media.conftest import Open

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000


async def keep(room: MediaRoom, content: bytes, name: str = "") -> Media:
    upload = room.begin()
    for start in range(0, len(content), 100_000):
        await upload.write(content[start : start + 100_000])
    return await room.keep(upload, "image", name, packages=3)


async def content(room: MediaRoom, media: Media, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in room.read(media, start, stop)])


async def test_what_is_kept_is_found_and_read_by_every_edge(open_room: Open) -> None:
    here, there = await open_room(), await open_room()
    media = await keep(here, PNG, "a.png")
    assert re.fullmatch(r"[0-9a-f]{32}", media.id)
    assert media == Media(media.id, "a.png", len(PNG), sha256(PNG).hexdigest(), "image/png", 3)
    assert await here.find(media.id) == await there.find(media.id) == media
    assert await content(there, media) == PNG
    assert await content(there, media, 10, 300_000) == PNG[10:300_000]
