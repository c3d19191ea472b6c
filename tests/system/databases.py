"""One PostgreSQL database per service."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from local.up_plan import SERVICES
from tests.support.servers import PostgresServer


@contextmanager
def databases(server: PostgresServer) -> Iterator[str]:
    """Creates empty databases; yields their URL, with {service} in it."""
    prefix = f"system_{secrets.token_hex(4)}"
    _administer(server, f"CREATE DATABASE {prefix}_{{service}} TEMPLATE template0")
    try:
        yield server.url(f"{prefix}_{{service}}", "+psycopg")
    finally:
        _administer(server, f"DROP DATABASE {prefix}_{{service}} WITH (FORCE)")


def _administer(server: PostgresServer, statement: str) -> None:
    """With a connection of its own each time: a test may restart the server."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for service in SERVICES:
            connection.execute(statement.format(service=service).encode())
