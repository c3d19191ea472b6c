"""A database of message with empty tables."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.message.store import open_database
from services.message.tables import metadata
from services.search.service import following
from shared.database import Database
from tests.support.databases import create_tables, empty
from tests.support.servers import PostgresServer
from tests.unit.services.search.peers import Peers


@pytest.fixture(autouse=True)
def gathers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the pause between two commits of an index, so that the tests do not wait.

    The thread that writes keeps its priority. With a low one, it would wait for minutes for the tests of other
    processes.
    """
    monkeypatch.setattr(following, "_GATHER_SECONDS", 0.0)
    monkeypatch.setattr(following, "_lower_priority", lambda: None)


@pytest.fixture(scope="session")
def _postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield create_tables("message", url)


ON_BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
"""Runs a test on SQLite and on PostgreSQL. The tests of the message service run all statements on both."""


@pytest.fixture
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database on SQLite, unless the test is `ON_BOTH`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        url = create_tables("message", f"sqlite:///{tmp_path / 'message.db'}")
    else:
        url = request.getfixturevalue("_postgres_url")
        empty(url, metadata, "INSERT INTO epochs VALUES (1, 'epoch')")
    database = open_database(url)
    yield database
    await database.close()


@pytest.fixture
async def peers(database: Database, tmp_path: Path) -> AsyncIterator[Peers]:
    peers = Peers(database, tmp_path / "index")
    yield peers
    await peers.close()
