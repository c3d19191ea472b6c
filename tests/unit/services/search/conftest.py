"""A database of message with empty tables, on SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.database import Database
from tests.support.databases import create_tables
from tests.support.servers import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        database = Database(create_tables("message", f"sqlite:///{tmp_path / 'message.db'}"))
        yield database
        await database.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        database = Database(create_tables("message", url))
        yield database
        await database.close()
