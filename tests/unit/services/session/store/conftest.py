"""The store's suite runs on SQLite and on PostgreSQL."""

from functools import partial

import pytest

from services.session.store import chats
from shared.database import Database
from tests.unit.services.session.store_harness import NOW, StoreHarness


@pytest.fixture
async def world(database: Database) -> StoreHarness:
    """With the lobby, as every installation."""
    await database.write(partial(chats.insert_lobby, now=NOW))
    return StoreHarness(database)
