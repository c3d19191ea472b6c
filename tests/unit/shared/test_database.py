"""Tests transactions on both databases."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from shared.database import Database, DatabaseUnavailable, open_engine
from shared.telemetry import new_trace, trace
from tests.support.servers import PostgresServer
from tests.support.small_disk import small_disk
from tests.support.waiting import WAIT_SECONDS

NOTES = sa.Table("notes", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("text", sa.String))


def insert(number: int) -> sa.Insert:
    return NOTES.insert().values(id=number, text="x")


def count(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(NOTES)).scalar_one()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.write(lambda connection: NOTES.create(connection))
    yield database
    await database.close()


async def test_what_was_written_is_read_by_another_process(database: Database, database_url: str) -> None:
    await database.write(lambda connection: connection.execute(insert(1)))
    with open_engine(database_url) as engine, engine.connect() as connection:
        assert count(connection) == 1


async def test_a_failure_leaves_nothing(database: Database) -> None:
    def fail(connection: sa.Connection) -> None:
        connection.execute(insert(1))
        raise KeyError("no")

    with pytest.raises(KeyError):
        await database.write(fail)
    assert await database.read(count) == 0


async def test_constraints_come_through(database: Database) -> None:
    await database.write(lambda connection: connection.execute(insert(1)))
    with pytest.raises(sa.exc.IntegrityError):
        await database.write(lambda connection: connection.execute(insert(1)))


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    loop = asyncio.get_running_loop()

    def twice(connection: sa.Connection) -> tuple[int, int]:
        before = count(connection)
        writing = database.write(lambda other: other.execute(insert(1)))
        asyncio.run_coroutine_threadsafe(writing, loop).result(10)
        return before, count(connection)

    assert await database.read(twice) == (0, 0)
    assert await database.read(count) == 1


async def test_many_writers_lose_nothing(database: Database) -> None:
    await asyncio.gather(*(database.write(lambda one, n=n: one.execute(insert(n))) for n in range(100)))  # type: ignore[misc]
    assert await database.read(count) == 100


def thread_of(connection: sa.Connection) -> int:
    connection.execute(insert(count(connection)))
    return threading.get_ident()


async def brief(database: Database) -> bool:
    """Returns whether a brief transaction ran in the thread of the caller."""
    return await database.write(thread_of, brief=True) == threading.get_ident()


async def test_brief_writes_run_on_the_spot_where_that_is_quicker(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 10.0)
    assert [await brief(database) for _ in range(3)] == [database.is_sqlite] * 3
    assert await database.write(thread_of) != threading.get_ident()
    assert await database.read(count) == 4


async def test_what_is_slow_runs_on_a_thread_until_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.write(lambda connection: NOTES.create(connection), brief=True)
    await database.write(lambda connection: time.sleep(0.05), brief=True)
    assert not await brief(database)
    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 10.0)
    assert await brief(database)
    await database.close()


async def test_brief_reads_run_inline_beside_a_writer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 10.0)
    gate = threading.Event()

    def hold(connection: sa.Connection) -> None:
        connection.execute(insert(1))
        gate.wait()

    def read(connection: sa.Connection) -> tuple[int, bool]:
        return count(connection), threading.get_ident() == threading.main_thread().ident

    writing = asyncio.create_task(database.write(hold))
    await asyncio.sleep(0.05)
    assert await database.read(read, brief=True) == (0, database.is_sqlite)
    gate.set()
    await writing
    assert await database.read(read, brief=True) == (1, database.is_sqlite)
    assert await database.read(read) == (1, False)
    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 0.0)
    assert await database.read(read, brief=True) == (1, False)


async def test_brief_writes_wait_for_other_writers_without_holding_up_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writers are a thread of this process and another process."""
    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 10.0)
    url, gate = f"sqlite:///{tmp_path / 'test.db'}", threading.Event()
    ours, other = Database(url), Database(url)
    await ours.write(lambda connection: NOTES.create(connection))
    for database, is_inline in ((ours, True), (other, False)):
        gate.clear()
        holding = asyncio.create_task(database.write(lambda connection: gate.wait()))
        await asyncio.sleep(0.05)
        writing = asyncio.create_task(brief(ours))
        await asyncio.wait([writing], timeout=0.05)
        assert not writing.done()
        gate.set()
        assert await writing is is_inline
        await holding
    assert await brief(ours)
    await ours.close()
    await other.close()


async def test_a_brief_write_waits_for_the_mover_of_the_log_on_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 10.0)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.write(lambda connection: NOTES.create(connection))
    assert database.log_mover is not None
    with database.log_mover.turn:
        writing = asyncio.create_task(brief(database))
        await asyncio.wait([writing], timeout=0.05)
        assert not writing.done()
    assert not await writing
    assert await brief(database)
    await database.close()


@pytest.mark.parametrize("is_brief", [False, True])
async def test_a_transaction_waits_for_at_most_one_in_the_background(tmp_path: Path, is_brief: bool) -> None:
    database, gate, order = Database(f"sqlite:///{tmp_path / 'test.db'}"), threading.Event(), list[str]()
    await database.write(lambda connection: NOTES.create(connection))

    def first(connection: sa.Connection) -> None:
        gate.wait()
        order.append("first")

    background = [
        asyncio.create_task(database.write(work, background=True))
        for work in (first, lambda connection: order.append("second"))
    ]
    await asyncio.sleep(0)
    other = asyncio.create_task(database.write(lambda connection: order.append("other"), brief=is_brief))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*background, other)
    assert order == ["first", "other", "second"]
    await database.close()


async def test_a_cancelled_transaction_gives_up_its_turn(tmp_path: Path) -> None:
    """A transaction that waits is never begun. A transaction that runs is completed before the next one."""
    database, gate, order = Database(f"sqlite:///{tmp_path / 'test.db'}"), threading.Event(), list[str]()
    await database.write(lambda connection: NOTES.create(connection))

    def hold(connection: sa.Connection) -> None:
        gate.wait()
        order.append("running")

    running, waiting = (
        asyncio.create_task(database.write(work, background=True))
        for work in (hold, lambda connection: order.append("waiting"))
    )
    await asyncio.sleep(0.05)
    waiting.cancel()
    running.cancel()
    await asyncio.wait([running, waiting])
    other = asyncio.create_task(database.write(lambda connection: order.append("other"), brief=True))
    await asyncio.sleep(0.05)
    gate.set()
    await other
    assert order == ["running", "other"]
    await database.close()


async def test_a_failure_on_the_spot_leaves_nothing_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: sa.Connection) -> None:
        connection.execute(insert(1))
        connection.exec_driver_sql("SELECT nothing")

    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 10.0)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.write(lambda connection: NOTES.create(connection))
    with pytest.raises(DatabaseUnavailable):
        await database.write(fail, brief=True)
    assert await brief(database)
    assert await database.read(count) == 1
    await database.close()


async def test_the_trace_goes_along(database: Database) -> None:
    trace.set(new_trace())
    assert await database.read(lambda _: trace.get()) == trace.get()


async def test_sqlite_keeps_what_it_committed_through_a_power_cut(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new folder' / 'test.db'}")

    def pragma(name: str, connection: sa.Connection) -> object:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()

    full = 2
    assert await database.write(lambda one: pragma("synchronous", one)) == full
    assert await database.read(lambda one: pragma("journal_mode", one)) == "wal"
    await database.close()


def log_salt(directory: Path) -> bytes:
    """Returns the random values of each new log: see "WAL Header Format" in SQLite's file format."""
    with (directory / "test.db-wal").open("rb") as file:
        return file.read(24)[16:]


def insert_much(connection: sa.Connection, number: int) -> None:
    connection.execute(NOTES.insert().values(id=number, text="x" * 100_000))


async def test_the_log_of_sqlite_restarts_under_constant_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a part of the log is moved to the database, the same amount is written again."""
    monkeypatch.setattr("shared.write_ahead_log._LONG_PAGES", 256)
    monkeypatch.setattr("shared.write_ahead_log._INTERVAL_SECONDS", 0.2)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.write(lambda connection: NOTES.create(connection))

    async def write() -> None:
        while log_salt(tmp_path) == first:
            await database.write(partial(insert_much, number=next(numbers)))

    first, numbers = log_salt(tmp_path), itertools.count()
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*[write() for _ in range(8)])
    await database.close()


async def test_a_long_log_of_sqlite_is_moved_at_once_and_its_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, log_file = 2**20, tmp_path / "test.db-wal"
    monkeypatch.setattr("shared.write_ahead_log._INTERVAL_SECONDS", 3_600.0)
    for module in ("shared.database", "shared.write_ahead_log"):
        monkeypatch.setattr(f"{module}.LOG_BYTES", limit)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.write(lambda connection: NOTES.create(connection))
    first, numbers = log_salt(tmp_path), itertools.count()
    while log_file.stat().st_size <= limit:
        await database.write(partial(insert_much, number=next(numbers)))
    async with asyncio.timeout(WAIT_SECONDS):
        while log_salt(tmp_path) == first or log_file.stat().st_size > limit:
            await database.write(partial(insert_much, number=next(numbers)))
            await asyncio.sleep(0)
    await database.close()


async def test_the_log_is_moved_although_the_database_could_not_be_opened_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.write_ahead_log._INTERVAL_SECONDS", 0.01)
    file = tmp_path / "test.db"
    file.mkdir()
    rejected, connect = threading.Event(), sa.Engine.connect

    def watched(engine: sa.Engine) -> sa.Connection:
        try:
            return connect(engine)
        except sa.exc.OperationalError:
            rejected.set()
            raise

    monkeypatch.setattr(sa.Engine, "connect", watched)
    database = Database(f"sqlite:///{file}")
    assert await asyncio.to_thread(rejected.wait, 5)
    file.rmdir()
    await database.write(lambda connection: NOTES.create(connection))
    async with asyncio.timeout(WAIT_SECONDS):
        while b"NOTES" not in file.read_bytes().upper():
            await asyncio.sleep(0.01)
    await database.close()


async def test_a_database_that_is_away_is_unavailable_and_comes_back(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        registry = CollectorRegistry()
        database = Database(url, registry=registry)
        await database.write(make_health_table)
        await database.check()
        with postgres_server.rejecting_connections(url):
            with pytest.raises(DatabaseUnavailable):
                await database.check()
        await database.check()
        await database.close()
        assert registry.get_sample_value("dragoman_database_failures_total") == 1
        assert registry.get_sample_value("dragoman_database_seconds_count", {"kind": "write"}) == 4


def make_health_table(connection: sa.Connection) -> None:
    connection.execute(sa.text("CREATE TABLE health (slot int PRIMARY KEY, checked bigint NOT NULL)"))


async def test_postgresqls_last_used_connection_is_used_first(postgres_server: PostgresServer) -> None:
    """It has cached the statements and the catalog."""
    together = threading.Barrier(3)

    def process(connection: sa.Connection) -> int:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())

    def process_of_each(connection: sa.Connection) -> int:
        together.wait(WAIT_SECONDS)
        return process(connection)

    with postgres_server.database() as url:
        database = Database(url)
        assert len({*await asyncio.gather(*(database.read(process_of_each) for _ in range(3)))}) == 3
        assert len({await database.read(process) for _ in range(3)}) == 1
        await database.close()


async def test_a_check_proves_that_commits_work(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        database = Database(f"sqlite:///{disk.path / 'test.db'}")
        await database.write(make_health_table)
        await database.check()
        disk.fill()
        # the check fails once the write-ahead log has no space for further commits
        with pytest.raises(DatabaseUnavailable):
            await asyncio.gather(*(database.check() for _ in range(100)))
        disk.free()
        await database.check()
        await database.close()


async def test_a_transaction_counts_from_its_request(tmp_path: Path) -> None:
    """The wait for the only writer also counts."""
    registry, gate = CollectorRegistry(), threading.Event()
    database = Database(f"sqlite:///{tmp_path / 'test.db'}", registry=registry)
    writes = [asyncio.create_task(database.write(lambda connection: gate.wait())) for _ in range(2)]
    await asyncio.sleep(0)
    assert registry.get_sample_value("dragoman_database_transactions", {"kind": "write"}) == 2
    gate.set()
    await asyncio.gather(*writes)
    await database.close()
    assert registry.get_sample_value("dragoman_database_transactions", {"kind": "write"}) == 0
    assert registry.get_sample_value("dragoman_database_seconds_count", {"kind": "write"}) == 2


def content_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


async def test_no_file_of_sqlite_has_what_was_deleted_after_its_end(tmp_path: Path) -> None:
    """Deleted data stays in the write-ahead log until it is overwritten.

    At the latest, this happens when the last process ends.
    """
    secrets = ["a short secret", "a long secret " * 2_000]
    database = Database(f"sqlite:///{tmp_path / 'notes.db'}")
    await database.write(lambda connection: NOTES.create(connection))
    await database.write(
        lambda connection: connection.execute(
            NOTES.insert(), [{"id": number, "text": text} for number, text in enumerate(secrets)]
        )
    )
    await database.write(lambda connection: connection.execute(NOTES.delete().where(NOTES.c.id == 0)))
    await database.write(lambda connection: connection.execute(NOTES.update().values(text="gone")))
    await database.close()
    remaining = content_of(tmp_path)
    assert b"secret" not in remaining
    assert b"gone" in remaining
