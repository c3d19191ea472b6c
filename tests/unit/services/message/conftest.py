"""Databases with the tables of message, on SQLite and PostgreSQL, and the environment of the service."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.message.service import posting
from services.message.store import open_database
from services.message.tables import metadata
from shared.database import Database
from shared.settings import Settings
from tests.support.databases import create_tables, empty
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.unit.services.message.environment import MessageEnvironment, settings_for


@pytest.fixture(scope="session")
def _postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield create_tables("message", url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return create_tables("message", f"sqlite:///{tmp_path / 'message.db'}")


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """The URL of a database with empty tables."""
    if request.param == "sqlite":
        return sqlite_url
    url: str = request.getfixturevalue("_postgres_url")
    empty(url, metadata)
    return url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    database = open_database(migrated_url)
    yield database
    await database.close()


@pytest.fixture
async def env(
    nats_server: NatsServer, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MessageEnvironment]:
    """A session service and edges. The message service trusts presence at once."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    async with MessageEnvironment(nats_server, valkey_server).running() as env:
        yield env


@pytest.fixture
def settings(nats_server: NatsServer, valkey_server: ValkeyServer, sqlite_url: str) -> Settings:
    return settings_for(nats_server, valkey_server, sqlite_url)


@pytest.fixture
def patient_member_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a request wait for its member lists for any time that they take on a busy machine."""
    monkeypatch.setattr(posting, "_MEMBER_LIST_SECONDS", 10.0)
