"""Databases with a service's tables. Each test process migrates them once, and copies or empties them for each test."""

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from shared.database import make_engine
from shared.migrate import upgrade
from tests.support import citus

_SQLITE = "sqlite:///"


def create_tables(service: str, url: str) -> str:
    """Creates a service's tables, and returns the URL. On SQLite, copies a prepared file; on PostgreSQL, runs the
    migrations.

    On Citus, also distributes the tables of message.
    """
    file = Path(url.removeprefix(_SQLITE))
    if url.startswith(_SQLITE) and not file.exists():
        shutil.copy(_template(service), file)
    else:
        upgrade(service, url)
        if citus.WANTED and service == "message":
            citus.distribute(url)
    return url


@cache
def _template(service: str) -> Path:
    directory = tempfile.mkdtemp(prefix="dragoman-test-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    file = Path(directory, f"{service}.db")
    upgrade(service, f"{_SQLITE}{file}")
    return file


def empty(url: str, tables: Iterable[str], *statements: str) -> None:
    """Empties these tables of a PostgreSQL database and restarts their sequences.

    Then runs `statements`, which are the inserts of the migration.
    """
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in (f"TRUNCATE {', '.join(tables)} RESTART IDENTITY", *statements):
            connection.execute(sa.text(statement))
    engine.dispose()


@contextmanager
def forgotten_transaction(url: str, statement: str) -> Iterator[None]:
    """Inside this context, another program with the name `a report` has an open transaction."""
    engine = sa.create_engine(url, connect_args={"application_name": "a report"})
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
        yield
    engine.dispose()
