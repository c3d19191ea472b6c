"""Schema migrations: Alembic, run from here, one history per service.

A service has its revisions in `services/<service>/migrations/versions/NNNN_subject.py`, written by hand (plain Alembic
operations for SQLite and PostgreSQL both; no env.py, no metadata). One upgrade is one transaction under a lock: it is
atomic, and two at once are safe. A database that a newer version has migrated stays as it is, so that versions N-1 and
N run side by side during an upgrade.
"""

import time
import zlib
from pathlib import Path

import sqlalchemy as sa
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


class NotMigrated(StartupError):
    """The database lacks tables of this version; the message says what to do."""


def upgrade(service: str, url: str) -> None:
    """Upgrades a service's database to the newest revision; on PostgreSQL, creates the schema that the URL names.
    Raises sqlalchemy.exc.SQLAlchemyError."""
    engine = make_engine(url)
    try:
        with _connect(engine) as connection:
            connection = connection.execution_options(begin="BEGIN IMMEDIATE")
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    _prepare_postgresql(connection, service)
                _run(connection, _script(service), service)
    finally:
        engine.dispose()


def require_current(service: str, connection: sa.Connection) -> None:
    """Checks the schema before a service serves: `await database.read(partial(require_current, "auth"))`.
    Raises NotMigrated."""
    script = _script(service)
    current = MigrationContext.configure(connection).get_current_heads()
    if _is_behind(script, current):
        raise NotMigrated(
            f"the database of {service} is at revision {', '.join(current) or 'none'}, this version needs "
            f"{script.get_current_head()}: run `dragoman migrate`"
        )


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


def _run(connection: sa.Connection, script: ScriptDirectory, service: str) -> None:
    def steps(current: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        if not _is_behind(script, current):
            return []
        _log.info("migrating", service=service, current=", ".join(current), to=script.get_current_head())
        return script._upgrade_revs("head", current)  # type: ignore[arg-type]

    with EnvironmentContext(Config(), script) as environment:
        environment.configure(connection=connection, fn=steps)
        environment.run_migrations()


def _is_behind(script: ScriptDirectory, current: tuple[str, ...]) -> bool:
    known = {revision.revision for revision in script.walk_revisions()}
    return script.get_current_head() not in current and known.issuperset(current)


def _script(service: str) -> ScriptDirectory:
    return ScriptDirectory(str(_SERVICES / service / "migrations"))


def _prepare_postgresql(connection: sa.Connection, service: str) -> None:
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(:lock, :service)"),
        {"lock": _LOCK, "service": zlib.crc32(service.encode()) & 0x7FFF_FFFF},
    )
    if connection.scalar(sa.text("SELECT current_schema()")) is None:
        schema = str(connection.scalar(sa.text("SHOW search_path"))).split(",")[0].strip(' "')
        connection.execute(sa.schema.CreateSchema(schema))
