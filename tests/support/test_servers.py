"""The servers that the other tests rest on."""

import nats
import psycopg
import pytest
import sqlalchemy as sa
from redis import Redis

from shared.database import make_engine
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer


async def test_nats_comes_back_on_the_same_port_with_its_streams(nats_server: NatsServer) -> None:
    port = nats_server.port
    nats_server.restart()
    settings = nats_server.settings("setup")
    client = await nats.connect(
        f"nats://127.0.0.1:{port}",
        user=settings.user,
        password=settings.password.get_secret_value(),
        inbox_prefix="inbox.setup",
    )
    assert (await client.jetstream().stream_info("EVENTS")).state.messages == 0
    await client.close()


def test_valkey_forgets_on_flush(valkey_server: ValkeyServer) -> None:
    with Redis.from_url(valkey_server.settings("edge").url.get_secret_value()) as client:
        client.set("generation", "x")
        valkey_server.flush()
        assert client.get("generation") is None


def test_each_database_is_empty(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE chats (id BIGINT)"))
    engine.dispose()


def test_each_database_is_fresh(database_url: str) -> None:
    engine = make_engine(database_url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def connect(server: PostgresServer) -> psycopg.Connection:
    return psycopg.connect(server.url("postgres"), connect_timeout=2)


def test_all_connections_of_postgresql_can_be_taken(postgres_server: PostgresServer) -> None:
    with connect(postgres_server) as before:
        with postgres_server.exhausted():
            with pytest.raises(psycopg.OperationalError):
                before.execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                connect(postgres_server)
    connect(postgres_server).close()


def test_a_frozen_postgresql_answers_on_no_connection(postgres_server: PostgresServer) -> None:
    with connect(postgres_server) as connection:
        postgres_server.pause()
        try:
            with pytest.raises(psycopg.OperationalError):
                connect(postgres_server)
        finally:
            postgres_server.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_crash_loses_open_transactions_alone(postgres_server: PostgresServer) -> None:
    name = "of_a_crash"
    with connect(postgres_server) as committing:
        committing.execute(f"CREATE TABLE {name} (number INT)".encode())
        committing.execute("SET LOCAL synchronous_commit = on")
    open_one = connect(postgres_server)
    open_one.execute(f"INSERT INTO {name} VALUES (1)".encode())
    postgres_server.crash()
    postgres_server.start()
    with connect(postgres_server) as connection:
        assert connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() == (0,)
        connection.execute(f"DROP TABLE {name}".encode())
    open_one.close()


def test_every_database_can_be_read_only(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        address = url.replace("+psycopg", "")
        with postgres_server.read_only_everywhere(), psycopg.connect(address) as connection:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("CREATE TABLE one (number INT)")
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE one (number INT)")
