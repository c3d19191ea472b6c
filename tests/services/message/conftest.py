"""Databases with message's tables, on SQLite and on PostgreSQL; message's neighbours."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared import presence
from shared.database import Database
from shared.migrate import upgrade
from shared.settings import Settings
from tests.servers import NatsServer, ValkeyServer
from tests.services.message.running import World, settings_for


@pytest.fixture
def migrated_url(database_url: str) -> str:
    upgrade("message", database_url)
    return database_url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    yield database
    await database.close()


@pytest.fixture
async def world(
    nats_server: NatsServer, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Session and edges; presence is believed at once."""
    monkeypatch.setattr(presence, "_TRUST_SECONDS", 0.0)
    async with World(nats_server, valkey_server).running() as world:
        yield world


@pytest.fixture
def settings(nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path) -> Settings:
    return settings_for(nats_server, valkey_server, f"sqlite:///{tmp_path / 'message.db'}")
