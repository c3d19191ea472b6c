"""`dragoman backup` and `dragoman restore` with several databases of message, on SQLite and PostgreSQL."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from services.auth.adapters.signing_keys import ensure_keys
from services.cli.main import main
from shared.database import make_engine
from shared.database_urls import sqlalchemy_url
from tests.support.servers import PostgresServer
from tests.system.databases import databases

MakeOptions = Callable[[str], list[str]]
"""The options of a new installation by its name."""


def dragoman(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture(params=["sqlite", "postgresql"])
def make_options(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeOptions]:
    with ExitStack() as stack:

        def make(name: str) -> list[str]:
            data = tmp_path / name
            places = [f"sqlite:///{data}/{part}-{{service}}.db" for part in ("one", "two")]
            if request.param == "postgresql":
                server: PostgresServer = request.getfixturevalue("postgres_server")
                monkeypatch.setenv("PATH", str(server.tools), prepend=os.pathsep)
                places = [stack.enter_context(databases(server)) for _ in places]
            main_url, second_url = (place.replace("{service}", "message") for place in places)
            values = {
                "database.url": places[0],
                "message.databases.main.url": main_url,
                "message.databases.main.partitions": "0-127",
                "message.databases.second.url": second_url,
                "message.databases.second.partitions": "128-255",
            }
            return ["--data", str(data), *(part for one in values.items() for part in ("--set", "=".join(one)))]

        yield make


@pytest.fixture
def options(make_options: MakeOptions, tmp_path: Path) -> list[str]:
    """Of a migrated installation with a row in the second database."""
    options = make_options("data")
    ensure_keys(tmp_path / "data" / "keys")
    migrated = dragoman("migrate", "auth", "session", "message", *options)
    assert migrated.exit_code == 0, migrated.output
    assert dragoman("admin", "partitions", "move", "0-63", "--to", "second", *options).exit_code == 0
    with_second(options, "INSERT INTO heads (chat_id, last_index, last_time) VALUES (7, 1, 1)")
    return options


def with_second(options: list[str], statement: str) -> list[sa.Row[tuple[int, ...]]]:
    url = next(one.partition("=")[2] for one in options if one.startswith("message.databases.second.url="))
    engine = make_engine(sqlalchemy_url(url, "message"))
    with engine.begin() as connection:
        done = connection.exec_driver_sql(statement)
        rows = list(done) if done.returns_rows else []
    engine.dispose()
    return rows


def test_all_databases_are_restored(options: list[str], make_options: MakeOptions, tmp_path: Path) -> None:
    made = dragoman("backup", tmp_path / "kept", *options)
    assert made.exit_code == 0, made.output
    fresh = make_options("fresh")
    restored = dragoman("restore", tmp_path / "kept", *fresh)
    assert restored.exit_code == 0, restored.output
    assert with_second(fresh, "SELECT chat_id FROM heads") == [(7,)]
    epoch, before = (with_second(one, "SELECT value FROM epochs") for one in (fresh, options))
    assert len(epoch) == 1
    assert epoch != before
    listed = dragoman("admin", "partitions", "list", *fresh)
    assert listed.output.splitlines() == [
        "main: partitions 64-127, version 2",
        "second: partitions 0-63,128-255, version 3",
    ]


def test_a_backup_is_rejected_during_a_move(options: list[str], tmp_path: Path) -> None:
    with_second(options, "INSERT INTO moves VALUES (1, 'second', 'main', '0', 'token')")
    rejected = dragoman("backup", tmp_path / "kept", *options)
    assert rejected.exit_code == 2
    assert "the move of partitions 0 from second to main is unfinished" in rejected.output


def test_databases_of_other_names_are_rejected(options: list[str], make_options: MakeOptions, tmp_path: Path) -> None:
    assert dragoman("backup", tmp_path / "kept", *options).exit_code == 0
    renamed = [one.replace("databases.second.", "databases.third.") for one in make_options("fresh")]
    rejected = dragoman("restore", tmp_path / "kept", *renamed)
    assert rejected.exit_code == 2
    assert "the backup is of the databases message-main, message-second, session, auth, the settings" in rejected.output
