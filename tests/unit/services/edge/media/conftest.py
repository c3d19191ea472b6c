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
from shared.settings import Settings
from shared.settings.messages import MediaSettings
from tests.support.servers import S3Server

LIMIT = 10_000_000
TIMEOUT_SECONDS = 2.0
OpenMedia = Callable[[], Awaitable[MediaService]]


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of metrics that all media services of the test share."""
    return CollectorRegistry()


@pytest.fixture(params=["directory", "bucket"])
def media_settings(request: pytest.FixtureRequest, tmp_path: Path) -> MediaSettings:
    """The settings of the store. Each test runs with a directory, and then with a bucket."""
    if request.param == "directory":
        return MediaSettings(directory=tmp_path, timeout_seconds=TIMEOUT_SECONDS)
    server: S3Server = request.getfixturevalue("s3_server")
    return MediaSettings(
        directory=tmp_path, bucket_url=f"s3://{server.bucket()}/some/media_settings", endpoint=server.endpoint,
        region="us-east-1", access_key=SecretStr("key"), secret_key=SecretStr("hush"), timeout_seconds=TIMEOUT_SECONDS,
    )  # fmt: skip


@pytest.fixture
async def open_media(media_settings: MediaSettings, registry: CollectorRegistry) -> AsyncIterator[OpenMedia]:
    """A function that opens media services on the same store, like the edges of one installation."""
    services: list[MediaService] = []
    metrics = EdgeMetrics(registry)

    async def opened() -> MediaService:
        settings, disk = Settings(media=media_settings, limits={"file_bytes": LIMIT}), Disk()
        store = (
            BucketStore(media_settings) if media_settings.bucket_url else DirectoryStore(media_settings.directory, disk)
        )
        media_service = MediaService(store, settings, metrics, disk)
        await media_service.prepare()
        services.append(media_service)
        return media_service

    yield opened
    for media_service in services:
        await media_service.close()


@pytest.fixture
def break_store(media_settings: MediaSettings, request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """A function that makes the store fail."""

    def broken() -> None:
        if media_settings.bucket_url:
            request.getfixturevalue("s3_server").pause()
            return
        for path in ("blobs", "records"):
            (media_settings.directory / path).rename(media_settings.directory / f"{path}-away")
            (media_settings.directory / path).write_bytes(b"in the way")

    yield broken
    if media_settings.bucket_url:
        request.getfixturevalue("s3_server").resume()


@pytest.fixture
async def media_service(open_media: OpenMedia) -> MediaService:
    return await open_media()


@pytest.fixture
def temporary_files(media_settings: MediaSettings) -> Callable[[], list[str]]:
    """Returns the names of the temporary files."""
    return lambda: [path.name for path in (media_settings.directory / "spool").iterdir()]
