"""Fixtures for commands that run inside the process of their test."""

import logging

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands log warnings as tests do: standard error is their tests'."""
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    monkeypatch.setattr("services.cli.console.configure_logging", lambda *_: structlog.configure(wrapper_class=quiet))
