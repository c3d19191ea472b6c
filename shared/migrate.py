"""Schema migrations: Alembic, run from here, one history per service.

A service has its revisions in `services/<service>/migrations/versions/NNNN_subject.py`, written by hand (plain Alembic
operations for SQLite and PostgreSQL both; no env.py, no metadata). Two upgrades at once are safe. A database that the
next version has migrated stays as it is, so that versions N-1 and N run side by side during an upgrade; that of a later
one is refused.

An empty database is made in one transaction. In any other, which a service may be using, each revision is one: locks
are held briefly. On PostgreSQL it waits for them in short attempts, because requests would wait behind a longer one. A
revision with `concurrent = True` is no transaction there: it only creates indexes of existing tables (`create_index`),
while others write.
"""

import re
import time
import zlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory

from shared.database import make_engine
from shared.errors import StartupError
from shared.telemetry import log

_log = log(__name__)

_SERVICES = Path(__file__).parents[1] / "services"
_LOCK = 0x6472_6167
_PATIENCE_SECONDS = 10.0
_TURN_SECONDS = 0.2
"""Between revisions: writers that wait for SQLite look at its lock every tenth of a second."""
_AUTOCOMMIT = "AUTOCOMMIT"
_LOCK_WAIT = "200ms"
_ATTEMPTS, _PAUSE_SECONDS = 120, 0.5
_LOCK_NOT_AVAILABLE = "55P03"
_LAST_WITH_ALL = "ff153765"
"""The commit whose migrations end where the first revisions begin. Names of revisions are in their order."""
_IS_INVALID = sa.text("SELECT true FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


class NotMigrated(StartupError):
    """The database lacks tables of this version; the message says what to do."""


def upgrade(service: str, url: str) -> None:
    """Upgrades a service's database to the newest revision; on PostgreSQL, creates the schema that the URL names.
    Raises NotMigrated, TooOld, sqlalchemy.exc.SQLAlchemyError."""
    engine, script = make_engine(url, name="migrate"), _script(service)
    try:
        with _connect(engine) as connection:
            if connection.dialect.name == "postgresql":
                _prepare_postgresql(connection, service)
            with connection.begin():
                _require_known(service, connection, script)
            rest = 0.0
            while steps := _read_steps(connection, script):
                time.sleep(rest)
                _log.info("migrating", service=service, to=steps[-1].info.up_revision_id)
                _repeat(connection, script, is_concurrent=_is_concurrent(steps))
                rest = _TURN_SECONDS
            _record_release(connection)
    finally:
        engine.dispose()


def create_index(
    name: str, table: str, columns: Sequence[str], *, unique: bool = False, where: sa.TextClause | None = None
) -> None:
    """Creates an index of an existing table, in a `concurrent` revision. May be repeated after an interruption."""
    connection = op.get_bind()
    concurrently = connection.get_execution_options().get("isolation_level") == _AUTOCOMMIT
    if concurrently and connection.scalar(_IS_INVALID, {"name": name}):
        op.drop_index(name, table, postgresql_concurrently=True)
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        if_not_exists=True,
        sqlite_where=where,
        postgresql_where=where,
        postgresql_concurrently=concurrently,
    )


def require_current(service: str, connection: sa.Connection) -> None:
    """Checks the schema before a service serves: `await database.read(partial(require_current, "auth"))`.
    Raises NotMigrated, TooOld."""
    script = _script(service)
    _require_known(service, connection, script)
    current = MigrationContext.configure(connection).get_current_heads()
    if _is_behind(script, current):
        raise NotMigrated(
            f"the database of {service} is at revision {', '.join(current) or 'none'}, this version needs "
            f"{script.get_current_head()}: run `dragoman migrate`"
        )


def _require_known(service: str, connection: sa.Connection, script: ScriptDirectory) -> None:
    """Raises TooOld; NotMigrated for a revision before the first one, and for one that no version of this service has
    made."""
    require_supported(service, connection)
    current = set(MigrationContext.configure(connection).get_current_heads())
    (first,) = script.get_bases()
    if older := sorted(revision for revision in current if revision < first):
        raise NotMigrated(
            f"the database of {service} is at revision {', '.join(older)}, and this version upgrades from {first} on: "
            f"run `dragoman migrate` of commit {_LAST_WITH_ALL} first"
        )
    if not current <= _known(script) and not is_recorded(connection):
        raise NotMigrated(
            f"the database of {service} is at revision {', '.join(sorted(current))}, which this version does not know: "
            "it is another service's, or of a later version; check database.url"
        )


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
    """Retries while another process creates the same SQLite file: SQLite does not wait for the lock when it turns the
    write-ahead log on."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return engine.connect()
        except sa.exc.OperationalError as error:
            if "database is locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _read_steps(connection: sa.Connection, script: ScriptDirectory) -> list[RevisionStep]:
    with connection.begin():
        return _steps(script, MigrationContext.configure(connection).get_current_heads())


def _steps(script: ScriptDirectory, current: tuple[str, ...]) -> list[RevisionStep]:
    """All revisions for an empty database, else the next one; none: it is up to date."""
    if not _is_behind(script, current):
        return []
    steps: list[RevisionStep] = script._upgrade_revs("head", current)  # type: ignore[arg-type]
    return steps[:1] if current else steps


def _is_concurrent(steps: Sequence[RevisionStep]) -> bool:
    return len(steps) == 1 and getattr(steps[0].revision.module, "concurrent", False)


def _repeat(connection: sa.Connection, script: ScriptDirectory, *, is_concurrent: bool) -> None:
    """Until all locks are got."""
    for attempt in range(_ATTEMPTS):
        try:
            return _run(connection, script, is_concurrent=is_concurrent)
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE or attempt + 1 == _ATTEMPTS:
                raise
        time.sleep(_PAUSE_SECONDS)


def _run(connection: sa.Connection, script: ScriptDirectory, *, is_concurrent: bool) -> None:
    """Compares the revision once more: on SQLite, another upgrade may have made the step."""
    connection = connection.execution_options(begin="BEGIN IMMEDIATE")
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level=_AUTOCOMMIT if is_concurrent else "READ COMMITTED")
    with connection.begin(), EnvironmentContext(Config(), script) as environment:
        if connection.dialect.name == "postgresql" and not is_concurrent:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
        environment.configure(connection=connection, fn=lambda current, _: _steps(script, current))
        environment.run_migrations()


def _is_behind(script: ScriptDirectory, current: tuple[str, ...]) -> bool:
    return script.get_current_head() not in current and _known(script).issuperset(current)


def _known(script: ScriptDirectory) -> set[str]:
    return {revision.revision for revision in script.walk_revisions()}


def _script(service: str) -> ScriptDirectory:
    return ScriptDirectory(str(_SERVICES / service / "migrations"))


def _prepare_postgresql(connection: sa.Connection, service: str) -> None:
    """Takes the lock of upgrades, until the connection ends. To wait for it in one statement would hold up an index
    that is created concurrently: that waits for the end of all transactions."""
    connection.execution_options(isolation_level=_AUTOCOMMIT)
    connection.exec_driver_sql("SET statement_timeout = 0")
    lock = {"lock": _LOCK, "service": zlib.crc32(service.encode()) & 0x7FFF_FFFF}
    while not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:lock, :service)"), lock):
        time.sleep(_TURN_SECONDS)
    if connection.scalar(sa.text("SELECT current_schema()")) is None:
        schema = str(connection.scalar(sa.text("SHOW search_path"))).split(",")[0].strip(' "')
        connection.execute(sa.schema.CreateSchema(schema))
    connection.commit()


# A version works on a database of the next one, and of no later one: what it reads may be gone there. A revision that
# it does not know tells nothing about that, so each database says it, in a table beside Alembic's.
OLDEST = "0.1"
"""The oldest release that works on a database of this one: the one before, to be changed with each release."""

_release = sa.Table(
    "release",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("oldest", sa.String, nullable=False),
)
_ID = 1


class TooOld(StartupError):
    """The database is of a version that is too new for this one; the message says what to do."""


def own_release() -> str:
    """Of this version, without the number of its patch."""
    found = re.match(r"\d+\.\d+", version("dragoman"))
    assert found is not None
    return found[0]


def is_recorded(connection: sa.Connection) -> bool:
    """Whether the database is of this release or a later one."""
    stored = _load(connection)
    return stored is not None and _order(stored[0]) >= _order(own_release())


def record(connection: sa.Connection) -> None:
    """Writes this release into a database that it has migrated."""
    _release.create(connection, checkfirst=True)
    connection.execute(_release.delete())
    connection.execute(_release.insert().values(id=_ID, version=own_release(), oldest=OLDEST))


def require_supported(service: str, connection: sa.Connection) -> None:
    """Raises TooOld."""
    stored = _load(connection)
    if stored is not None and _order(own_release()) < _order(stored[1]):
        raise TooOld(
            f"the database of {service} is of version {stored[0]}, on which {stored[1]} and later work, and this is "
            f"{own_release()}: install a later version, or restore a backup of this one"
        )


def _load(connection: sa.Connection) -> tuple[str, str] | None:
    """Version and oldest version; None if none was recorded."""
    if not sa.inspect(connection).has_table(_release.name):
        return None
    row = connection.execute(sa.select(_release.c.version, _release.c.oldest)).one_or_none()
    return None if row is None else (row.version, row.oldest)


def _order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
