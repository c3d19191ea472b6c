"""Databases of an earlier revision, and what its version does while they are migrated."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import services
from shared.database import make_engine
from shared.migrate import require_current, upgrade

WRITE_SECONDS = 5.0
"""A service waits so long for the lock of SQLite; after that, its request fails."""

_AFTERWARDS = 20
_SERVICES = Path(services.__file__).parent

COUNTED = "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 1000000)"
"""A million rows, from 1 on."""


def differences(url: str, declared: sa.MetaData) -> list[object]:
    """Of the declared tables from those of a database, without the tables of the migrations themselves."""
    engine = sa.create_engine(url)  # without the time-outs of a service
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": _is_of_a_service})
        found: list[object] = compare_metadata(context, declared)
    engine.dispose()
    return found


def _is_of_a_service(_item: object, name: str | None, kind: str, *_: object) -> bool:
    return (kind, name) != ("table", "release")


def create_at(service: str, url: str, revision: str, fill: Sequence[str], **values: object) -> None:
    """Tables as this revision has them, and rows by the statements `fill`, in an empty database."""
    script = ScriptDirectory(str(_SERVICES / service / "migrations"))
    engine = make_engine(url)
    with engine.begin() as connection, EnvironmentContext(Config(), script) as environment:
        environment.configure(connection=connection, fn=lambda current, _: script._upgrade_revs(revision, current))
        environment.run_migrations()
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        for statement in fill:
            connection.execute(sa.text(statement), values)
    engine.dispose()


def migrate_beside(service: str, url: str, work: Callable[[sa.Connection, int], None]) -> tuple[int, float]:
    """Repeats `work`, numbered from 1, in transactions until the database is migrated, and some times more. Returns
    how often, and the seconds of the slowest."""
    engine = make_engine(url)
    migration = threading.Thread(target=upgrade, args=(service, url))
    done, after, slowest = 0, 0, 0.0
    migration.start()
    while after < _AFTERWARDS:
        after += not migration.is_alive()
        began = time.monotonic()
        done += 1
        with engine.begin() as connection:
            work(connection, done)
        slowest = max(slowest, time.monotonic() - began)
    migration.join()
    with engine.connect() as connection:
        require_current(service, connection)
    engine.dispose()
    return done, slowest


def count_rows(url: str, table: str) -> int:
    engine = make_engine(url)
    with engine.connect() as connection:
        found: int = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
    engine.dispose()
    return found
