"""Parts of auth on real servers. Password hashes are cheap."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.auth.metrics import AuthMetrics
from services.auth.tables import AuthBase
from shared.database import Database
from shared.settings import Settings
from shared.settings.accounts import AuthSettings, MailSettings
from shared.settings.limits import LimitsSettings
from shared.settings.servers import DatabaseSettings
from tests.support.databases import create_tables, empty
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.unit.services.auth.blocking_hasher import BlockingHasher
from tests.unit.services.auth.cluster import AuthCluster, EdgeProbe
from tests.unit.services.auth.smtp_server import FakeSmtpServer

_STATE = ("INSERT INTO state VALUES ('revocations', 0), ('maintenance', 0)",)

MakeCluster = Callable[..., AuthCluster]
StartCluster = Callable[..., Awaitable[tuple[AuthCluster, EdgeProbe]]]
MakeSmtpServer = Callable[..., FakeSmtpServer]


def cheap_auth(keys: Path) -> AuthSettings:
    return AuthSettings(keys=keys, argon2_memory_kib=8, argon2_iterations=1)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> AuthMetrics:
    return AuthMetrics(registry)


def settings_of(url: str, **sections: object) -> Settings:
    return Settings(database=DatabaseSettings(url=SecretStr(url)), **sections)


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> BlockingHasher:
    """The hasher that computes all hashes of the service."""
    hasher = BlockingHasher()
    monkeypatch.setattr("services.auth.adapters.passwords.PasswordHasher", lambda **_parameters: hasher)
    return hasher


@pytest.fixture(scope="session")
def _postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        create_tables("auth", settings_of(url).database_url("auth"))
        yield url


ON_BOTH = pytest.mark.parametrize("tables_url", ["sqlite", "postgresql"], indirect=True)
"""Runs a test on SQLite and on PostgreSQL. Tests of rules, whose statements the store's tests run, need only SQLite."""


@pytest.fixture
def tables_url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """The URL of a migrated database: SQLite, unless the test is `ON_BOTH`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return sqlite_url
    url: str = request.getfixturevalue("_postgres_url")
    empty(settings_of(url).database_url("auth"), AuthBase.metadata, *_STATE)
    return url


@pytest.fixture
async def database(tables_url: str) -> AsyncIterator[Database]:
    database = Database(settings_of(tables_url).database_url("auth"))
    yield database
    await database.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return create_tables("auth", f"sqlite:///{tmp_path / 'auth.db'}")


@pytest.fixture
async def make_cluster(
    nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path
) -> AsyncIterator[MakeCluster]:
    """A function that makes clusters. Its arguments are the sections of settings that matter to a test."""
    clusters: list[AuthCluster] = []

    def make(database_url: str, **sections: object) -> AuthCluster:
        usual = {
            "nats": nats_server.settings("auth"),
            "redis": valkey_server.settings("auth"),
            "auth": cheap_auth(tmp_path / "keys"),
            "mail": MailSettings(outbox=tmp_path / "outbox"),
            "limits": LimitsSettings(rates=False),
        }
        clusters.append(AuthCluster(settings_of(database_url, **{**usual, **sections}), nats_server))
        return clusters[-1]

    yield make
    for cluster in clusters:
        await cluster.close()


@pytest.fixture
def start(make_cluster: MakeCluster, tables_url: str) -> StartCluster:
    """A function that starts a cluster with these sections of settings, and an edge."""

    async def start(replicas: int = 1, **sections: object) -> tuple[AuthCluster, EdgeProbe]:
        cluster = make_cluster(tables_url, **sections)
        for _ in range(replicas):
            cluster.start_auth()
        return cluster, await cluster.edge()

    return start


@pytest.fixture
def cluster(make_cluster: MakeCluster, tables_url: str) -> AuthCluster:
    return make_cluster(tables_url)


@pytest.fixture
def limited(make_cluster: MakeCluster, sqlite_url: str) -> AuthCluster:
    """A cluster with the default rate limits."""
    return make_cluster(sqlite_url, limits=LimitsSettings())


@pytest.fixture
async def edge(cluster: AuthCluster) -> EdgeProbe:
    """An edge of `cluster`, which has one replica of auth."""
    cluster.start_auth()
    return await cluster.edge()


@pytest.fixture
async def make_smtp_server() -> AsyncIterator[MakeSmtpServer]:
    """A function that makes SMTP servers, which the test starts."""
    servers: list[FakeSmtpServer] = []

    def make(**options: Any) -> FakeSmtpServer:
        servers.append(FakeSmtpServer(**options))
        return servers[-1]

    yield make
    for server in servers:
        await server.stop()
