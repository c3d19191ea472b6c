"""Tests how many file descriptors a machine must permit."""

import resource
from pathlib import Path

import pytest

from services.cli.doctor import machine
from shared.settings import Settings


@pytest.mark.parametrize(
    ("limit", "edge", "works", "words"),
    [
        (resource.RLIM_INFINITY, {}, True, "at most"),
        (30_000, {}, True, "30000 at most"),
        (4_096, {}, True, "enough for 3840 connections"),
        (1_024, {}, False, "too few for edge.max_connections = 20000"),
        (4_096, {"max_connections": 10_000}, False, "too few"),
        (4_096, {"max_connections": 3_000}, True, "4096 at most"),
    ],
)
def test_descriptors(
    limit: int, edge: dict[str, int], works: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop's low limit is a failure only if the settings want more connections than it allows."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, limit))
    found = machine._descriptors(Settings(data=Path("/nowhere"), edge=edge))
    assert words in found.text
    assert found.good == works


def test_an_unsound_python_is_found() -> None:
    [finding] = machine.python(3, 13, 0)
    assert finding.text.endswith("install 3.13.2 or later")
    assert machine.python(3, 12, 9) == machine.python(3, 11, 7) == machine.python(3, 14, 0) == []
