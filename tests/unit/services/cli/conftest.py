"""Fixtures for commands that run in the process of the test."""

import logging

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes commands log only warnings, because tests check the commands' standard error."""
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    monkeypatch.setattr("services.cli.console.configure_logging", lambda *_: structlog.configure(wrapper_class=quiet))
