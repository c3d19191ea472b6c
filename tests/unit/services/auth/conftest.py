"""Auth's parts on real servers, with hashes that cost next to nothing."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.auth.metrics import AuthMetrics
from services.auth.tables import AuthBase
from shared import settings as given
from shared.database import Database
from shared.migrate import upgrade
from shared.settings import Settings
from tests.support.databases import empty
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.unit.services.auth.gate import Gate
from tests.unit.services.auth.smtp import Server
from tests.unit.services.auth.world import World

_STATE = ("INSERT INTO state VALUES ('revocations', 0), ('maintenance', 0)",)

MakeWorld = Callable[..., World]
MakeServer = Callable[..., Server]


def cheap_auth(keys: Path) -> given.Auth:
    return given.Auth(keys=keys, argon2_memory_kib=8, argon2_iterations=1)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> AuthMetrics:
    return AuthMetrics(registry)


def settings_of(url: str, **sections: object) -> Settings:
    return Settings(database=given.Database(url=SecretStr(url)), **sections)  # type: ignore[arg-type]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """What all hashes go through."""
    gate = Gate()
    monkeypatch.setattr("services.auth.adapters.passwords.PasswordHasher", lambda **_parameters: gate)
    return gate


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = tmp_path_factory.mktemp("auth") / "template.db"
    upgrade("auth", f"sqlite:///{template}")
    return template


@pytest.fixture(scope="session")
def _postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        upgrade("auth", settings_of(url).database_url("auth"))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def tables_url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        return sqlite_url
    url: str = request.getfixturevalue("_postgres_url")
    empty(settings_of(url).database_url("auth"), AuthBase.metadata.tables, *_STATE)
    return url


@pytest.fixture
async def database(tables_url: str) -> AsyncIterator[Database]:
    database = Database(settings_of(tables_url).database_url("auth"))
    yield database
    await database.close()


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(_sqlite_template, tmp_path / "auth.db")
    return f"sqlite:///{tmp_path / 'auth.db'}"


@pytest.fixture
async def make_world(nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Makes a world around auth, from the sections of its settings that matter to a test."""
    worlds: list[World] = []

    def make(database_url: str, **sections: object) -> World:
        usual = {
            "nats": nats_server.settings("auth"),
            "redis": valkey_server.settings("auth"),
            "auth": cheap_auth(tmp_path / "keys"),
            "mail": given.Mail(outbox=tmp_path / "outbox"),
            "limits": given.Limits(rates=False),
        }
        worlds.append(World(settings_of(database_url, **{**usual, **sections}), nats_server))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()


@pytest.fixture
async def make_server() -> AsyncIterator[MakeServer]:
    """Makes SMTP servers; a test starts them when it likes."""
    servers: list[Server] = []

    def make(**options: Any) -> Server:
        servers.append(Server(**options))
        return servers[-1]

    yield make
    for server in servers:
        await server.stop()
