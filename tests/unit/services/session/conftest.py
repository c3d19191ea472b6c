"""Databases with session's tables, on SQLite and on PostgreSQL. They are migrated once, and emptied for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.session.tables import metadata
from shared.bus import durable
from shared.database import Database
from tests.support.databases import create_tables, empty
from tests.support.servers import PostgresServer


@pytest.fixture(autouse=True)
def _short_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the requests for events that a stopping service waits for."""
    monkeypatch.setattr(durable, "_FETCH_SECONDS", 0.1)
    monkeypatch.setattr(durable, "_PAUSE_SECONDS", 0.05)


@pytest.fixture(scope="session")
def _postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield create_tables("session", url)


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with empty tables."""
    if request.param == "sqlite":
        return create_tables("session", f"sqlite:///{tmp_path / 'test.db'}")
    url: str = request.getfixturevalue("_postgres_url")
    empty(url, metadata)
    return url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    yield database
    await database.close()
