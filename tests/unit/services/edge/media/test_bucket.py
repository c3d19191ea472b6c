"""Tests failures that only a bucket has."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from local.ports import free_port
from services.edge.media import MediaService
from shared.contract.errors import ErrorCode
from shared.settings.messages import MediaSettings
from tests.unit.services.edge.media.test_service import MISSING, content, error_code


@pytest.fixture
def media_settings(tmp_path: Path) -> MediaSettings:
    return MediaSettings(
        directory=tmp_path, bucket_url="s3://nowhere", endpoint=f"http://127.0.0.1:{free_port()}", region="us-east-1",
        access_key=SecretStr("key"), secret_key=SecretStr("hush"), timeout_seconds=20.0,
    )  # fmt: skip


async def test_an_unreachable_server_is_unavailable_before_the_time_out(media_service: MediaService) -> None:
    with capture_logs() as logs:
        assert await error_code(media_service.find(MISSING.id)) is ErrorCode.UNAVAILABLE
        assert await error_code(content(media_service, MISSING)) is ErrorCode.UNAVAILABLE
    assert ["GenericError" in entry["error"] for entry in logs] == [True, True]
    assert "hush" not in str(logs)
