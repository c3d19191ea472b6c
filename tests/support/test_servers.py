"""Tests the servers that other tests use."""

import psycopg
import pytest

from tests.support.servers import PostgresServer


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
