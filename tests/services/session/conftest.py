"""Databases with session's tables, on SQLite and on PostgreSQL: copies of one that was migrated."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared import durable
from shared.database import Database
from shared.migrate import upgrade
from tests.servers import PostgresServer


@pytest.fixture(autouse=True)
def _ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that stops waits for its last fetch of events."""
    monkeypatch.setattr(durable, "_FETCH_SECONDS", 0.1)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = tmp_path_factory.mktemp("session") / "template.db"
    upgrade("session", f"sqlite:///{template}")
    return template


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        upgrade("session", url)
        yield url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh database with the tables."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("_sqlite_template")
        shutil.copy(template, tmp_path / "test.db")
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database(request.getfixturevalue("_postgres_template")) as url:
        yield url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    yield database
    await database.close()
