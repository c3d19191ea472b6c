"""Databases in which `dragoman secrets` has separated the services by roles and schemas."""

import re
from contextlib import suppress
from pathlib import Path

import psycopg

from local.up_plan import SERVICES
from services.cli.secrets import Addresses, issue
from tests.support.servers import PostgresServer


def drop_roles(server: PostgresServer) -> None:
    """Drops the roles, because they belong to the whole server and not to one database."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for role in ("exporter", "migrate", *SERVICES):
            connection.execute(f"DROP ROLE {role}".encode())


def prepared(server: PostgresServer, url: str, directory: Path) -> Path:
    """Issues secrets and creates roles for a new database. Returns the directory of the processes' settings."""
    url = url.replace("+psycopg", "")
    database = url.rpartition("/")[2]
    issue(directory, Addresses("nats://x:1", "x:1", f"127.0.0.1:{server.port}", database, tls=False))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (directory / "postgres" / "roles.sql").read_bytes().splitlines():
            with suppress(psycopg.errors.DuplicateObject):
                connection.execute(statement)
    return directory


def connected(directory: Path, process: str) -> psycopg.Connection:
    found = re.search(r'"(postgresql://.*)"', (directory / process / "dragoman.toml").read_text())
    assert found
    return psycopg.connect(found[1])
