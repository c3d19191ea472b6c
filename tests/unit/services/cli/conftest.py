"""Fixtures for commands that run inside the process of their test."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command reconfigures the logging of its whole process, here that of all tests: limit and restore it."""
    before = structlog.get_config()["wrapper_class"]
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    monkeypatch.setattr(
        "services.cli.plain_logs.configure_plain_logs", lambda: structlog.configure(wrapper_class=quiet)
    )
    yield
    structlog.configure(wrapper_class=before)
