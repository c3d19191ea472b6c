"""Tests TLS with real servers that require it. Servers and clients authenticate each other by certificates."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats.errors
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from local.options import load
from local.ports import free_port
from local.process_group import ProcessGroup
from services.auth.adapters.sliding_window import SlidingWindow
from services.auth.metrics import AuthMetrics
from shared.bus import connection, nats_client
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.ids import AccountId
from shared.database import Database, DatabaseUnavailable
from shared.errors import StartupError
from shared.presence.store import Presence
from shared.redis_server import require_kind
from shared.settings import Settings
from shared.settings.servers import DatabaseSettings, NatsSettings, RedisSettings
from shared.tls import check_files, nats_context
from tests.support.servers import NatsServer
from tests.support.tls_servers import (
    Certificates,
    TlsNatsServer,
    TlsPostgresServer,
    TlsValkeyServer,
    needs_postgresql,
    needs_valkey,
)
from tests.support.waiting import WAIT_SECONDS

WRONG = ["ca", "no client certificate", "client certificate", "host"]


@pytest.fixture(scope="module")
def certificates(server_directory: Path) -> Certificates:
    return Certificates(server_directory / "tls", "127.0.0.1")


def wrong(settings: Any, which: str, certificates: Certificates) -> Any:
    """Returns the settings with one error. `which` names the error."""
    if which == "host":
        url = settings.url if isinstance(settings.url, str) else settings.url.get_secret_value()
        changed = url.replace("127.0.0.1", "localhost")
        return settings.model_copy(
            update={"url": changed if isinstance(settings.url, str) else type(settings.url)(changed)}
        )
    change = {
        "ca": {"tls_ca": certificates["other/ca.crt"]},
        "no client certificate": {"tls_certificate": "", "tls_key": ""},
        "client certificate": {"tls_certificate": certificates["other/client.crt"],
                               "tls_key": certificates["other/client.key"]},
    }  # fmt: skip
    return settings.model_copy(update=change[which])


@pytest.fixture(scope="module")
def tls_nats(server_directory: Path, process_group: ProcessGroup, certificates: Certificates) -> Iterator[NatsServer]:
    server = TlsNatsServer(server_directory / "tls-nats", process_group, certificates)
    server.start()
    yield server
    server.stop()


async def test_the_bus_works_over_tls(tls_nats: NatsServer) -> None:
    await tls_nats.make_fresh()
    received: asyncio.Queue[bytes] = asyncio.Queue()
    message, edge = (Bus(tls_nats.settings(name), name, CollectorRegistry()) for name in ("message", "edge"))
    edge.subscribe(on.BROADCAST, received.put_nowait)
    await asyncio.gather(message.start(), edge.start())
    try:
        await message.publish(on.BROADCAST, b"one")
        message.flush()
        async with asyncio.timeout(WAIT_SECONDS):
            assert await received.get() == b"one"
            await message.check(WAIT_SECONDS)
    finally:
        await asyncio.gather(message.stop(), edge.stop())


@pytest.mark.parametrize("which", WRONG)
async def test_nats_and_its_clients_reject_each_other(
    tls_nats: NatsServer, certificates: Certificates, which: str
) -> None:
    settings = wrong(tls_nats.settings("edge"), which, certificates)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises((OSError, nats.errors.Error, TimeoutError)):
            await nats_client.connect(settings, allow_reconnect=False, connect_timeout=2, error_cb=ignore)


async def test_the_name_of_nats_may_differ_from_its_address(tls_nats: NatsServer, certificates: Certificates) -> None:
    other = wrong(tls_nats.settings("edge"), "host", certificates)
    settings = other.model_copy(update={"tls_name": "127.0.0.1"})
    client = await nats_client.connect(settings, allow_reconnect=False, error_cb=ignore)
    await client.close()
    bus = Bus(settings, "edge", CollectorRegistry())
    async with asyncio.timeout(WAIT_SECONDS):
        await bus.start()
    await bus.stop()


async def test_the_end_of_a_connection_to_nats_is_no_warning(
    tls_nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    closed = asyncio.Event()

    async def note() -> None:
        closed.set()

    await nats_client.connect(tls_nats.settings("edge"), allow_reconnect=False, error_cb=ignore, closed_cb=note)
    tls_nats.stop()
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await closed.wait()
    finally:
        tls_nats.start()
    assert not [one.getMessage() for one in caplog.records if one.name == "asyncio"]


async def test_a_frozen_server_is_left_at_once(tls_nats: NatsServer) -> None:
    """The frozen server does not end TLS, and asyncio would wait for that for 30 seconds."""
    left = asyncio.Event()

    async def note() -> None:
        left.set()

    client = await nats_client.connect(
        tls_nats.settings("edge"), ping_interval=0.1, max_outstanding_pings=2, error_cb=ignore, disconnected_cb=note
    )
    tls_nats.pause()
    try:
        async with asyncio.timeout(15):
            await left.wait()
    finally:
        tls_nats.resume()
    await client.close()


async def test_a_frozen_server_does_not_hold_up_the_next_attempt(
    tls_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frozen server accepts connections while its queue has space."""
    monkeypatch.setattr(nats_client, "_FIRST_LINE_SECONDS", 0.1)
    tls_nats.pause()
    try:
        async with asyncio.timeout(15):
            with pytest.raises((nats.errors.Error, TimeoutError)):
                await nats_client.connect(
                    tls_nats.settings("edge"), allow_reconnect=False, connect_timeout=60, error_cb=ignore
                )
    finally:
        tls_nats.resume()


async def ignore(_: Exception) -> None:
    pass


@asynccontextmanager
async def eavesdropper() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Runs a server in place of NATS that offers no TLS. Yields its port, and the bytes that clients send."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","auth_required":true,"max_payload":1048576}\r\n')
        heard.append(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard


async def test_no_password_is_sent_to_a_server_without_tls(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_REMINDER_SECONDS", 0.05)
    async with eavesdropper() as (port, heard):
        settings = NatsSettings(
            url=f"nats://127.0.0.1:{port}", user="edge", password="secret", tls_ca=certificates["ca.crt"]
        )
        bus = Bus(settings, "edge", CollectorRegistry())
        with capture_logs() as logs:
            starting = asyncio.create_task(bus.start())
            async with asyncio.timeout(WAIT_SECONDS):
                while len(heard) < 2 or not any("no TLS" in str(line.get("error")) for line in logs):
                    await asyncio.sleep(0.02)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert set(heard) == {b""}
        plain = settings.model_copy(update={"tls_ca": ""})
        with suppress(OSError, nats.errors.Error):
            client = await nats_client.connect(plain, allow_reconnect=False, connect_timeout=2, error_cb=ignore)
            await client.close()
        assert b"secret" in heard[-1]


async def test_a_cancelled_connection_is_closed() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(WAIT_SECONDS):
        settings = NatsSettings(url=f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(0.2):
                await nats_client.connect(settings, allow_reconnect=False, error_cb=ignore)
        await closed.wait()
        del raised  # the error's traceback keeps the client alive, and with it the open socket


@pytest.fixture(scope="module")
def tls_valkey(
    server_directory: Path, process_group: ProcessGroup, certificates: Certificates
) -> Iterator[TlsValkeyServer]:
    server = TlsValkeyServer(server_directory / "tls-valkey", process_group, certificates)
    server.start()
    yield server
    server.stop()


async def redis_clients_work(settings: RedisSettings, limits: RedisSettings) -> None:
    """Sends a command from each client of Redis. Raises RedisError."""
    presence, window = Presence(settings), SlidingWindow(limits, AuthMetrics(CollectorRegistry()))
    try:
        await require_kind(settings)
        await window.check()
        await presence.check()
        await presence.nodes([AccountId(1)])
    finally:
        await window.close()
        await presence.close()


@needs_valkey
async def test_redis_clients_work_over_tls(tls_valkey: TlsValkeyServer) -> None:
    with capture_logs() as logs:
        await redis_clients_work(tls_valkey.settings("edge"), tls_valkey.settings("auth"))
    assert logs == []


@needs_valkey
@pytest.mark.parametrize("which", WRONG)
async def test_valkey_and_its_clients_reject_each_other(
    tls_valkey: TlsValkeyServer, certificates: Certificates, which: str
) -> None:
    with pytest.raises((RedisError, OSError)):
        await redis_clients_work(
            wrong(tls_valkey.settings("edge"), which, certificates),
            wrong(tls_valkey.settings("auth"), which, certificates),
        )


@pytest.fixture(scope="module")
def tls_postgresql(
    server_directory: Path, process_group: ProcessGroup, certificates: Certificates
) -> Iterator[TlsPostgresServer]:
    server = TlsPostgresServer(server_directory / "tls-postgresql", process_group, certificates)
    server.start()
    yield server
    server.stop()


async def is_encrypted(settings: Settings) -> bool:
    """Returns whether the connection to the database is encrypted. Raises DatabaseUnavailable."""
    database = Database(settings.database_url("auth"))
    query = sa.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    try:
        return bool(await database.read(lambda open: open.execute(query).scalar_one()))
    finally:
        await database.close()


@needs_postgresql
async def test_a_database_works_over_tls(tls_postgresql: TlsPostgresServer) -> None:
    assert await is_encrypted(tls_postgresql.settings())


@needs_postgresql
@pytest.mark.parametrize("which", WRONG)
async def test_postgresql_and_its_clients_reject_each_other(
    tls_postgresql: TlsPostgresServer, certificates: Certificates, which: str
) -> None:
    settings = tls_postgresql.settings()
    with pytest.raises(DatabaseUnavailable):
        await is_encrypted(settings.model_copy(update={"database": wrong(settings.database, which, certificates)}))


def test_a_url_of_its_own_mode_stays(certificates: Certificates) -> None:
    url = "postgresql://ann@db/chat?sslmode=require"
    settings = Settings(database=DatabaseSettings(url=url, tls_ca=certificates["ca.crt"]))
    assert "verify-full" not in settings.database_url("auth")
    assert Settings(database=DatabaseSettings(tls_ca=certificates["ca.crt"])).database_url("auth").startswith("sqlite:")


@pytest.mark.parametrize("section", ["nats", "redis", "database"])
@pytest.mark.parametrize("name", ["tls_ca", "tls_certificate"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, section: str, name: str) -> None:
    (tmp_path / "empty").touch()
    for path in (tmp_path / "missing", tmp_path / "empty"):
        settings = load(None, {"redis.url": "rediss://127.0.0.1", f"{section}.{name}": str(path)})[0]
        with pytest.raises(StartupError, match=rf"{path} \({section}\.{name}\) cannot be used"):
            check_files(settings)


def test_tls_by_a_url_trusts_the_system(certificates: Certificates) -> None:
    assert nats_context(NatsSettings(url=f"nats://127.0.0.1:{free_port()}")) is None
    context = nats_context(NatsSettings(url="tls://nats.example:4222"))
    assert context is not None
    assert context.check_hostname
    pinned = nats_context(NatsSettings(tls_ca=certificates["ca.crt"]))
    assert pinned is not None
    assert len(pinned.get_ca_certs()) == 1
