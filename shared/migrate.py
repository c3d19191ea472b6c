"""Schema migrations with Alembic. Each service has its own history of revisions.

A service has its revisions in `services/<service>/migrations/versions/NNNN_subject.py`. The first revision creates the
declared tables, and an empty database needs no other one. The other revisions are written by hand, as plain Alembic
operations for both SQLite and PostgreSQL, without env.py. They change the tables of an existing database into the
declared ones. Two upgrades may run at the same time. A database that the next version has migrated is not changed, so
that versions N-1 and N run side by side during an upgrade. A database of a later version is rejected.

An empty database is filled in one transaction. A service may be using any other database, so there each revision is one
transaction, which holds its locks only briefly. On PostgreSQL, the upgrade waits for locks in short attempts, because
requests would wait behind a longer attempt. On PostgreSQL, a revision with `concurrent = True` is not a transaction. It
only creates indexes of existing tables (`create_index`), while services write.
"""

import time
import zlib
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep, StampStep
from alembic.script import ScriptDirectory

from shared import schema
from shared.database import open_engine
from shared.schema import current_revisions, is_behind, is_recorded, known_revisions, record, require_known
from shared.telemetry import log

Step = RevisionStep | StampStep

_log = log(__name__)

_LOCK = 0x6472_6167
_PATIENCE_SECONDS = 10.0
_TURN_SECONDS = 0.2
"""The pause between revisions. A process that waits to write to SQLite tries the lock every tenth of a second."""
_AUTOCOMMIT = "AUTOCOMMIT"
_LOCK_WAIT = "200ms"
_ATTEMPTS, _PAUSE_SECONDS = 120, 0.5
_LOCK_NOT_AVAILABLE = "55P03"
_IS_INVALID = sa.text("SELECT true FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


def upgrade(service: str, url: str) -> None:
    """Upgrades a service's database to the newest revision; on PostgreSQL, also creates the schema that the URL names.
    Raises NotMigrated, TooOld, sqlalchemy.exc.SQLAlchemyError."""
    script = _script(service)
    with open_engine(url, "migrate") as engine, _connect(engine) as connection:
        if connection.dialect.name == "postgresql":
            _prepare_postgresql(connection, service)
        with connection.begin():
            require_known(service, connection)
        rest = 0.0
        while steps := _read_steps(service, connection, script):
            time.sleep(rest)
            _log.info("migrating", service=service, to=steps[-1].info.up_revision_id)
            _repeat(service, connection, script, is_concurrent=_is_concurrent(steps))
            rest = _TURN_SECONDS
        _record_release(connection)


def create_index(name: str, table: str, columns: Sequence[str], *, unique: bool = False) -> None:
    """Creates an index of an existing table, in a `concurrent` revision. It can be repeated after an interruption."""
    connection = op.get_bind()
    concurrently = connection.get_execution_options().get("isolation_level") == _AUTOCOMMIT
    if concurrently and connection.scalar(_IS_INVALID, {"name": name}):
        op.drop_index(name, table, postgresql_concurrently=True)
    op.create_index(name, table, columns, unique=unique, if_not_exists=True, postgresql_concurrently=concurrently)


def _record_release(connection: sa.Connection) -> None:
    with connection.begin():
        if is_recorded(connection):
            return
    connection.execution_options(begin="BEGIN IMMEDIATE")
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="READ COMMITTED")
    with connection.begin():
        if not is_recorded(connection):
            record(connection)


def _connect(engine: sa.Engine) -> sa.Connection:
    """Connects. Failed attempts are repeated, because another process may be creating the same SQLite file, and SQLite
    does not wait for the lock when it switches the write-ahead log on."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return engine.connect()
        except sa.exc.OperationalError as error:
            if "database is locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _read_steps(service: str, connection: sa.Connection, script: ScriptDirectory) -> list[Step]:
    with connection.begin():
        return _steps(service, script, tuple(current_revisions(connection)))


def _steps(service: str, script: ScriptDirectory, current: tuple[str, ...]) -> list[Step]:
    """The next step of an upgrade. It is the next revision or, for an empty database, the first revision, after which
    all revisions count as done. The list is empty if the database is up to date."""
    known = known_revisions(service)
    if not is_behind(known, set(current)):
        return []
    if current:
        return [*script._upgrade_revs("head", current)[:1]]  # type: ignore[arg-type]
    return [*script._upgrade_revs(known[0], ()), *script._stamp_revs("head", known[0])]  # type: ignore[arg-type]


def _is_concurrent(steps: Sequence[Step]) -> bool:
    return isinstance(steps[0], RevisionStep) and getattr(steps[0].revision.module, "concurrent", False)


def _repeat(service: str, connection: sa.Connection, script: ScriptDirectory, *, is_concurrent: bool) -> None:
    """Runs a step, and tries again until it gets all locks."""
    for attempt in range(_ATTEMPTS):
        try:
            return _run(service, connection, script, is_concurrent=is_concurrent)
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE or attempt + 1 == _ATTEMPTS:
                raise
        time.sleep(_PAUSE_SECONDS)


def _run(service: str, connection: sa.Connection, script: ScriptDirectory, *, is_concurrent: bool) -> None:
    """Runs one step if it is still due: the revision is read again, because another process may have done the step
    meanwhile."""
    connection = connection.execution_options(begin="BEGIN IMMEDIATE")
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level=_AUTOCOMMIT if is_concurrent else "READ COMMITTED")
    with connection.begin(), EnvironmentContext(Config(), script) as environment:
        if connection.dialect.name == "postgresql" and not is_concurrent:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
        environment.configure(connection=connection, fn=lambda current, _: _steps(service, script, current))
        environment.run_migrations()


def _script(service: str) -> ScriptDirectory:
    return ScriptDirectory(str(schema.SERVICES / service / "migrations"))


def _prepare_postgresql(connection: sa.Connection, service: str) -> None:
    """Takes the lock of upgrades until the connection ends. The lock is requested repeatedly. A single statement that
    waits for it would be a long transaction, and an index that is created concurrently waits for the end of all
    transactions."""
    connection.execution_options(isolation_level=_AUTOCOMMIT)
    connection.exec_driver_sql("SET statement_timeout = 0")
    lock = {"lock": _LOCK, "service": zlib.crc32(service.encode()) & 0x7FFF_FFFF}
    while not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:lock, :service)"), lock):
        time.sleep(_TURN_SECONDS)
    if connection.scalar(sa.text("SELECT current_schema()")) is None:
        schema = str(connection.scalar(sa.text("SHOW search_path"))).split(",")[0].strip(' "')
        connection.execute(sa.schema.CreateSchema(schema))
    connection.commit()
