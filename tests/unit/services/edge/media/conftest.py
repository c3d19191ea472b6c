from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.edge.media import MediaService
from services.edge.media.bucket import BucketStore
from services.edge.media.directory import DirectoryStore
from services.edge.media.disk import Disk
from services.edge.metrics import EdgeMetrics
from shared.settings import Media, Settings
from tests.support.servers import S3Server

LIMIT = 10_000_000
TIMEOUT_SECONDS = 2.0
Open = Callable[[], Awaitable[MediaService]]


@pytest.fixture
def registry() -> CollectorRegistry:
    """Of all rooms of the test."""
    return CollectorRegistry()


@pytest.fixture(params=["directory", "bucket"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Media:
    """Where files are kept: a directory, then a bucket."""
    if request.param == "directory":
        return Media(directory=tmp_path, timeout_seconds=TIMEOUT_SECONDS)
    server: S3Server = request.getfixturevalue("s3_server")
    return Media(
        directory=tmp_path, bucket_url=f"s3://{server.bucket()}/some/where", endpoint=server.endpoint,
        region="us-east-1", access_key=SecretStr("key"), secret_key=SecretStr("hush"), timeout_seconds=TIMEOUT_SECONDS,
    )  # fmt: skip


@pytest.fixture
async def open_room(where: Media, registry: CollectorRegistry) -> AsyncIterator[Open]:
    """Opens rooms on the same store, as the edges of one installation do. A file has at most ten million bytes."""
    rooms: list[MediaService] = []
    metrics = EdgeMetrics(registry)

    async def opened() -> MediaService:
        settings, disk = Settings(media=where, limits={"file_bytes": LIMIT}), Disk()
        store = BucketStore(where) if where.bucket_url else DirectoryStore(where.directory, disk)
        room = MediaService(store, settings, metrics, disk)
        await room.prepare()
        rooms.append(room)
        return room

    yield opened
    for room in rooms:
        await room.close()


@pytest.fixture
def break_store(where: Media, request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """From now on, the store fails."""

    def broken() -> None:
        if where.bucket_url:
            request.getfixturevalue("s3_server").pause()
            return
        for path in ("blobs", "records"):
            (where.directory / path).rename(where.directory / f"{path}-away")
            (where.directory / path).write_bytes(b"in the way")

    yield broken
    if where.bucket_url:
        request.getfixturevalue("s3_server").resume()


@pytest.fixture
async def room(open_room: Open) -> MediaService:
    return await open_room()


@pytest.fixture
def spooled(where: Media) -> Callable[[], list[str]]:
    """The names of the temporary files there are."""
    return lambda: [path.name for path in (where.directory / "spool").iterdir()]
