"""A database of message with empty tables, on SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.message.store import open_database
from services.search.service import following
from shared.database import Database
from tests.support.databases import create_tables
from tests.support.servers import PostgresServer


@pytest.fixture(autouse=True)
def gathers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the pause between two commits of an index, so that the tests do not wait."""
    monkeypatch.setattr(following, "_GATHER_SECONDS", 0.0)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        database = open_database(create_tables("message", f"sqlite:///{tmp_path / 'message.db'}"))
        yield database
        await database.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        database = open_database(create_tables("message", url))
        yield database
        await database.close()
