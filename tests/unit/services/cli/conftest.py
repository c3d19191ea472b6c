"""Commands that run inside the process of their test."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command shows what went wrong alone, and says where all logs of its process go; but this one is not its own."""
    before = structlog.get_config()["wrapper_class"]
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    monkeypatch.setattr(
        "services.cli.migrations.configure_plain_logs", lambda: structlog.configure(wrapper_class=quiet)
    )
    yield
    structlog.configure(wrapper_class=before)
