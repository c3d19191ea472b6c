"""Databases with session's tables, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from services.session.tables import metadata
from shared.database import Database, make_engine


@pytest.fixture
def migrated_url(database_url: str) -> str:
    engine = make_engine(database_url)
    metadata.create_all(engine)
    engine.dispose()
    return database_url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    yield database
    await database.close()
