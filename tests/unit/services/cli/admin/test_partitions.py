"""`dragoman admin partitions`: output, and requests that are rejected."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.main import main


@pytest.fixture
def several(tmp_path: Path) -> list[str]:
    """Settings of two databases."""
    values = {"main": "0-255", "second": ""}
    settings = {f"{name}.url": f"sqlite:///{tmp_path}/{name}.db" for name in values}
    settings |= {f"{name}.partitions": ranges for name, ranges in values.items()}
    return [part for name, value in settings.items() for part in ("--set", f"message.databases.{name}={value}")]


def dragoman(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_partitions_are_moved(several: list[str]) -> None:
    assert dragoman("migrate", "message", *several).exit_code == 0
    done = dragoman("admin", "partitions", "move", "0-63,128", "--to", "second", *several)
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "partitions 0-63,128 are moved from main to second")
    listed = dragoman("admin", "partitions", "list", *several)
    assert listed.output.splitlines() == [
        "main: partitions 64-127,129-255, version 2",
        "second: partitions 0-63,128, version 3",
    ]


def test_a_wrong_request_is_rejected(several: list[str]) -> None:
    assert dragoman("migrate", "message", *several).exit_code == 0
    done = dragoman("admin", "partitions", "move", "0-256", "--to", "second", *several)
    assert (done.exit_code, done.output) == (1, "Error: there is no partition 256: the last of 256 is 255\n")
    aborted = dragoman("admin", "partitions", "move", "0-63", "--to", "second", "--abort", *several)
    assert "the move of partitions 0-63 from main to second has not begun" in aborted.output


def test_databases_that_are_not_migrated(several: list[str]) -> None:
    done = dragoman("admin", "partitions", "list", *several)
    assert (done.exit_code, "run `dragoman migrate`" in done.output) == (1, True)


def test_one_database_has_nothing_to_move(tmp_path: Path) -> None:
    done = dragoman("admin", "partitions", "move", "0-63", "--to", "second", "--data", str(tmp_path))
    assert (done.exit_code, "message has one database" in done.output) == (2, True)
