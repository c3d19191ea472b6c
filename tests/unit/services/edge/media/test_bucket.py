"""Tests failures that only a bucket has."""

from pathlib import Path
from typing import Any

import obstore
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from local.ports import free_port
from services.edge.media import MediaService, bucket
from services.edge.media.bucket import BucketStore
from shared.contract.errors import ErrorCode
from shared.settings.messages import MediaSettings
from tests.support.servers import S3Server
from tests.unit.services.edge.media.test_service import MISSING, content, error_code


@pytest.fixture
def media_settings(tmp_path: Path) -> MediaSettings:
    return MediaSettings(
        directory=tmp_path, bucket_url="s3://nowhere", endpoint=f"http://127.0.0.1:{free_port()}", region="us-east-1",
        access_key=SecretStr("key"), secret_key=SecretStr("hush"), timeout_seconds=20.0,
    )  # fmt: skip


async def test_content_that_a_sweeper_removes_while_it_is_stored_again_is_kept(
    s3_server: S3Server, media_settings: MediaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"bucket_url": f"s3://{s3_server.bucket()}", "endpoint": s3_server.endpoint}
    edge, sweeper = [BucketStore(media_settings.model_copy(update=changed)) for _ in range(2)]
    source = tmp_path / "source"
    source.write_bytes(b"content")
    assert await edge.put("blobs/x", source, 7)
    monkeypatch.setattr(bucket, "FRESH_SECONDS", -60.0)
    put = obstore.put_async

    async def then_removed(*arguments: Any, **options: Any) -> None:
        """The sweeper has found the old content before. Now it removes the new one."""
        monkeypatch.setattr(obstore, "put_async", put)
        await put(*arguments, **options)
        assert await sweeper.delete("blobs/x")

    monkeypatch.setattr(obstore, "put_async", then_removed)
    assert not await edge.put("blobs/x", source, 7)
    assert b"".join([chunk async for chunk in edge.read("blobs/x", 0, 7)]) == b"content"


async def test_an_unreachable_server_is_unavailable_before_the_time_out(media_service: MediaService) -> None:
    with capture_logs() as logs:
        assert await error_code(media_service.find(MISSING.id)) is ErrorCode.UNAVAILABLE
        assert await error_code(content(media_service, MISSING)) is ErrorCode.UNAVAILABLE
    assert ["GenericError" in entry["error"] for entry in logs] == [True, True]
    assert "hush" not in str(logs)
