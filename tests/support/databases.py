"""Databases with a service's tables. Each test process migrates them once, and copies or empties them for each test."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import sqlalchemy as sa

from shared.migrate import upgrade
from tests.support import citus

_SQLITE = "sqlite:///"
_RESTART = (
    "SELECT setval(sequencename::regclass, start_value, false) FROM pg_sequences WHERE schemaname = current_schema()"
)


def create_tables(service: str, url: str) -> str:
    """Creates a service's tables once, and returns the URL. On SQLite, copies a prepared file; on PostgreSQL, runs the
    migrations.

    On Citus, also distributes the tables of message.
    """
    if url.startswith(_SQLITE):
        if not (file := Path(url.removeprefix(_SQLITE))).exists():
            shutil.copy(_template(service), file)
    else:
        _migrate(service, url)
    return url


@cache
def _migrate(service: str, url: str) -> None:
    upgrade(service, url)
    if citus.WANTED and service == "message":
        citus.distribute(url)


@cache
def _template(service: str) -> Path:
    directory = tempfile.mkdtemp(prefix="dragoman-test-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    file = Path(directory, f"{service}.db")
    upgrade(service, f"{_SQLITE}{file}")
    return file


def empty(url: str, metadata: sa.MetaData, *statements: str) -> None:
    """Empties these tables of a PostgreSQL database and restarts their sequences.

    Then runs `statements`, which are the inserts of the migration. With few rows, DELETE takes a tenth of the time of
    TRUNCATE.
    """
    deletions = [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("; ".join((*deletions, _RESTART, *statements)).encode())


@contextmanager
def forgotten_transaction(url: str, statement: str) -> Iterator[None]:
    """Inside this context, another program with the name `a report` has an open transaction."""
    engine = sa.create_engine(url, connect_args={"application_name": "a report"})
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
        yield
    engine.dispose()
