"""Databases with message's tables, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from shared.database import Database
from shared.migrate import upgrade


@pytest.fixture
def migrated_url(database_url: str) -> str:
    upgrade("message", database_url)
    return database_url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    yield database
    await database.close()
