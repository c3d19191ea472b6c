from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.edge.media import MediaRoom
from services.edge.media.directory import DirectoryStore
from services.edge.media.disk import Disk
from services.edge.metrics import Metrics
from shared.settings import Settings

LIMIT = 1_000_000
Open = Callable[[], Awaitable[MediaRoom]]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def open_room(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens rooms on the same store, as the edges of one installation do. A file has at most a million bytes."""
    rooms: list[MediaRoom] = []

    async def opened() -> MediaRoom:
        settings = Settings(media={"directory": tmp_path, "timeout_seconds": 5.0}, limits={"file_bytes": LIMIT})
        disk = Disk()
        room = MediaRoom(DirectoryStore(tmp_path, disk), settings, Metrics(CollectorRegistry()), disk)
        await room.prepare()
        rooms.append(room)
        return room

    yield opened
    for room in rooms:
        await room.close()


@pytest.fixture
async def room(open_room: Open) -> MediaRoom:
    return await open_room()
