"""Tests the migrations of every service on both databases."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr

from services.auth.tables import AuthBase
from services.message import tables as message_tables
from services.session import tables as session_tables
from shared import schema
from shared.database import make_engine, open_engine
from shared.migrate import upgrade
from shared.schema import NotMigrated, TooOld, require_current
from shared.settings import Settings
from shared.settings.servers import DatabaseSettings
from tests.support.servers import PostgresServer
from tests.support.waiting import WAIT_SECONDS

SERVICES = sorted(
    path.parents[1].name for path in Path(schema.__file__).parents[1].glob("services/*/migrations/versions")
)

DECLARED = {"auth": AuthBase.metadata, "message": message_tables.metadata, "session": session_tables.metadata}
SYSTEM_TESTS = Path(__file__).parents[2] / "system"
"""The directory with the oldest databases that can be upgraded: a data directory of `dragoman up`, and a dump by
pg_dump from PostgreSQL.
"""

_FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True))
"""
_PRESENT = _FIRST.replace("primary_key=True)", "primary_key=True), sa.Column('text', sa.String)")
"""A migration that creates the tables of the version with the second revision."""
_SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.add_column("notes", sa.Column("text", sa.String))
"""
_BROKEN = """
from alembic import op
revision = "0003"
down_revision = "0002"
def upgrade():
    op.rename_table("notes", "papers")
    raise ValueError("half way")
"""


_INDEX = """
from shared.migrate import create_index
revision = "0003"
down_revision = "0002"
concurrent = True
def upgrade():
    create_index("notes_text", "notes", ["text"], unique=True)
"""
_IS_WAITING = sa.text(
    "SELECT true FROM pg_stat_activity WHERE query LIKE 'CREATE UNIQUE INDEX%' AND wait_event_type = 'Lock'"
)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory with the revisions of a service `notes`. It is empty."""
    directory = tmp_path / "services" / "notes" / "migrations" / "versions"
    directory.mkdir(parents=True)
    monkeypatch.setattr(schema, "SERVICES", tmp_path / "services")
    return directory


def columns(url: str, table: str = "notes") -> list[str]:
    with open_engine(url) as engine:
        return [column["name"] for column in sa.inspect(engine).get_columns(table)]


def execute(url: str, statement: str) -> None:
    with open_engine(url) as engine, engine.begin() as connection:
        connection.execute(sa.text(statement))


def check(service: str, url: str) -> None:
    with open_engine(url) as engine, engine.connect() as connection:
        require_current(service, connection)


def restore_oldest(service: str, url: str) -> None:
    with open_engine(url) as engine:
        if engine.dialect.name == "sqlite":
            with ZipFile(SYSTEM_TESTS / "data-9456d506.zip") as archive:
                Path(str(engine.url.database)).write_bytes(archive.read(f"{service}.db"))
        else:
            with ZipFile(SYSTEM_TESTS / "postgresql-9456d506.zip") as archive, engine.begin() as connection:
                connection.execution_options(no_parameters=True)
                connection.exec_driver_sql(archive.read(f"{service}.sql").decode())


# Alembic does not compare expression-based indexes of SQLite
@pytest.mark.filterwarnings("ignore:.*expression-based index")
@pytest.mark.parametrize("service", SERVICES)
def test_the_oldest_database_that_is_upgraded_gets_the_declared_tables(service: str, database_url: str) -> None:
    restore_oldest(service, database_url)
    upgrade(service, database_url)
    check(service, database_url)
    with open_engine(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": lambda name, *_: name != "release"})
        assert compare_metadata(context, DECLARED[service]) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_migrates_and_then_starts(service: str, database_url: str) -> None:
    with pytest.raises(NotMigrated, match=f"the database of {service} is at revision none.*dragoman migrate"):
        check(service, database_url)
    upgrade(service, database_url)
    upgrade(service, database_url)
    check(service, database_url)


def test_a_later_revision_follows(versions: Path, database_url: str) -> None:
    (versions / "0001_notes.py").write_text(_FIRST)
    upgrade("notes", database_url)
    assert columns(database_url) == ["id"]
    (versions / "0002_text.py").write_text(_SECOND)
    with pytest.raises(NotMigrated, match="at revision 0001, this version needs 0002"):
        check("notes", database_url)
    upgrade("notes", database_url)
    assert columns(database_url) == ["id", "text"]


def test_a_revision_happens_completely_or_not_at_all(versions: Path, database_url: str) -> None:
    (versions / "0001_notes.py").write_text(_FIRST)
    upgrade("notes", database_url)
    (versions / "0002_text.py").write_text(_SECOND)
    (versions / "0003_broken.py").write_text(_BROKEN)
    with pytest.raises(ValueError, match="half way"):
        upgrade("notes", database_url)
    assert columns(database_url) == ["id", "text"], "those before it are complete"


def test_an_empty_database_needs_the_first_revision_alone(versions: Path, database_url: str) -> None:
    (versions / "0001_notes.py").write_text(_PRESENT)
    (versions / "0002_text.py").write_text(_SECOND)
    upgrade("notes", database_url)
    check("notes", database_url)
    upgrade("notes", database_url)
    assert columns(database_url) == ["id", "text"]


def test_an_empty_database_is_made_completely_or_not_at_all(versions: Path, database_url: str) -> None:
    (versions / "0001_notes.py").write_text(f"{_FIRST}    raise ValueError('half way')\n")
    with pytest.raises(ValueError, match="half way"):
        upgrade("notes", database_url)
    (versions / "0001_notes.py").write_text(_FIRST)
    upgrade("notes", database_url)
    assert columns(database_url) == ["id"]


def test_writers_do_not_wait_for_a_revision_behind_a_long_reader(
    versions: Path, postgres_server: PostgresServer
) -> None:
    """A long transaction reads, as a backup does.

    The revision waits for it, but writers do not wait for the revision.
    """
    (versions / "0001_notes.py").write_text(_FIRST)
    with postgres_server.database() as url, ThreadPoolExecutor(1) as pool:
        upgrade("notes", url)
        execute(url, "INSERT INTO notes VALUES (0)")
        (versions / "0002_text.py").write_text(_SECOND)
        engine = make_engine(url)
        slowest = 0.0
        with engine.connect() as reader:
            reader.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
            reader.exec_driver_sql("SELECT count(*) FROM notes")
            migration = pool.submit(upgrade, "notes", url)
            for _ in range(20):
                began = time.monotonic()
                execute(url, "UPDATE notes SET id = id + 1")
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.1)
            assert not migration.done()
        migration.result(WAIT_SECONDS)
        assert slowest < 2.0, "a writer waits for one attempt at most"
        assert columns(url) == ["id", "text"]
        engine.dispose()


def test_an_index_is_created_again_after_an_attempt_that_failed(versions: Path, database_url: str) -> None:
    """PostgreSQL keeps the remains of such an attempt as an invalid index."""
    (versions / "0001_notes.py").write_text(_PRESENT)
    (versions / "0002_text.py").write_text(_SECOND)
    upgrade("notes", database_url)
    execute(database_url, "INSERT INTO notes (id, text) VALUES (1, 'same'), (2, 'same')")
    (versions / "0003_unique.py").write_text(_INDEX)
    with pytest.raises(sa.exc.IntegrityError):
        upgrade("notes", database_url)
    execute(database_url, "UPDATE notes SET text = 'other' WHERE id = 2")
    upgrade("notes", database_url)
    check("notes", database_url)
    with pytest.raises(sa.exc.IntegrityError):
        execute(database_url, "INSERT INTO notes (id, text) VALUES (3, 'same')")


def test_rows_are_written_while_an_index_is_created(versions: Path, postgres_server: PostgresServer) -> None:
    """The index waits for a transaction that has written before it. Later writes do not wait for the index."""
    (versions / "0001_notes.py").write_text(_PRESENT)
    (versions / "0002_text.py").write_text(_SECOND)
    with postgres_server.database() as url, ThreadPoolExecutor(1) as pool:
        upgrade("notes", url)
        (versions / "0003_unique.py").write_text(_INDEX)
        engine = make_engine(url)
        with engine.connect() as writer:
            writer.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
            writer.exec_driver_sql("INSERT INTO notes (id, text) VALUES (1, 'first')")
            migration = pool.submit(upgrade, "notes", url)
            with engine.connect() as observer:
                while not observer.scalar(_IS_WAITING):
                    observer.rollback()
            execute(url, "INSERT INTO notes (id, text) VALUES (2, 'second')")
            assert not migration.done()
            writer.commit()
        migration.result(WAIT_SECONDS)
        engine.dispose()
        check("notes", url)


def test_many_at_once_are_safe(versions: Path, database_url: str) -> None:
    (versions / "0001_notes.py").write_text(_PRESENT)
    (versions / "0002_text.py").write_text(_SECOND)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, ["notes"] * 4, [database_url] * 4))
    assert columns(database_url) == ["id", "text"]


def test_what_a_newer_version_migrated_is_left_alone_and_served(versions: Path, database_url: str) -> None:
    (versions / "0001_notes.py").write_text(_PRESENT)
    (versions / "0002_text.py").write_text(_SECOND)
    upgrade("notes", database_url)
    (versions / "0002_text.py").unlink()
    check("notes", database_url)
    upgrade("notes", database_url)
    assert columns(database_url) == ["id", "text"]


def test_a_version_that_is_too_old_neither_starts_nor_migrates(
    versions: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 0.3 has migrated the database. Version 0.2 still works with it."""
    (versions / "0001_notes.py").write_text(_PRESENT)
    (versions / "0002_text.py").write_text(_SECOND)
    monkeypatch.setattr(schema, "OLDEST", "0.2")
    monkeypatch.setattr(schema, "own_release", lambda: "0.3")
    upgrade("notes", database_url)
    (versions / "0002_text.py").unlink()
    monkeypatch.setattr(schema, "own_release", lambda: "0.2")
    check("notes", database_url)
    upgrade("notes", database_url)
    monkeypatch.setattr(schema, "own_release", lambda: "0.1")
    for work in (check, upgrade):
        with pytest.raises(TooOld, match=r"of notes is of version 0.3, on which 0.2 and later work, and this is 0.1"):
            work("notes", database_url)


def test_an_unknown_revision_is_rejected(versions: Path, database_url: str) -> None:
    (versions / "0001_notes.py").write_text(_FIRST)
    upgrade("notes", database_url)
    execute(database_url, "DROP TABLE release")
    execute(database_url, "UPDATE alembic_version SET version_num = '0815'")
    for work in (check, upgrade):
        with pytest.raises(NotMigrated, match="at revision 0815, which this version does not know"):
            work("notes", database_url)


@pytest.mark.parametrize("service", SERVICES)
def test_a_database_before_the_first_revision_is_rejected_with_the_commit_that_upgrades_it(
    service: str, database_url: str
) -> None:
    """A database that this release has migrated is not called a later one."""
    upgrade(service, database_url)
    execute(database_url, "UPDATE alembic_version SET version_num = '0007'")
    for work in (check, upgrade):
        with pytest.raises(NotMigrated, match=rf"{service} is at revision 0007, .*migrate` of commit 9456d506 first"):
            work(service, database_url)


def test_the_oldest_version_that_works_is_the_one_before() -> None:
    """The oldest version that works with this database is the previous one.

    A release that breaks this rule must say so in CHANGELOG.md.
    """
    ours, oldest = (tuple(map(int, one.split("."))) for one in (schema.own_release(), schema.OLDEST))
    assert oldest[0] <= ours[0]
    assert oldest[0] < ours[0] or ours[1] - oldest[1] in (0, 1)


def test_services_share_a_postgresql_database_in_schemas(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        shared = Settings(database=DatabaseSettings(url=SecretStr(url.replace("+psycopg", ""))))
        for service in SERVICES:
            upgrade(service, shared.database_url(service))
            check(service, shared.database_url(service))
        engine = make_engine(url)
        assert set(SERVICES) <= set(sa.inspect(engine).get_schema_names())
        assert sa.inspect(engine).get_table_names("public") == []
        engine.dispose()
