"""A health check finds reasons why a service cannot work: locked tables, locked rows, and waiting transactions."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from importlib import import_module

import pytest
import sqlalchemy as sa

from shared import database as database_module
from shared.database import Database, DatabaseStuck, DatabaseUnavailable, UnfinishedWork, make_engine
from tests.support.databases import create_tables, forgotten_transaction
from tests.support.servers import PostgresServer

SERVICES = ("auth", "session", "message")


@pytest.fixture
async def message(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    with postgres_server.database() as url:
        database = Database(create_tables("message", url), name="message")
        yield database
        await database.close()


def url_of(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_locked_table_is_found_by_its_service(
    service: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_LOCK_WAIT", "200ms")
    tables: tuple[str, ...] = import_module(f"services.{service}.store").CHECKED_TABLES
    with postgres_server.database() as url:
        database = Database(create_tables(service, url))
        await database.check(tables)
        for table in (tables[0], tables[-1]):
            with forgotten_transaction(url, f"LOCK TABLE {table} IN SHARE MODE"):
                with pytest.raises(DatabaseStuck, match=rf"process \d+ \(a report, idle .*\) has locked {table}"):
                    await database.check(tables)
            await database.check(tables)
        await database.close()


async def test_a_row_that_is_locked_is_found_while_others_wait_for_it(
    message: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_STUCK_SECONDS", 0.5)
    monkeypatch.setattr(database_module, "_WAITED_SECONDS", 0.3)

    def work(connection: sa.Connection) -> None:
        connection.execute(sa.text("SET LOCAL statement_timeout = 1500"))
        connection.execute(sa.text("UPDATE heads SET last_index = 1 WHERE chat_id = 1"))

    await message.write(lambda connection: connection.execute(sa.text("INSERT INTO heads VALUES (1, 0, 0)")))
    with forgotten_transaction(url_of(message), "SELECT 1 FROM heads WHERE chat_id = 1 FOR UPDATE"):
        waiting = asyncio.create_task(message.write(work))
        found = await first_error(message)
        assert "(a report, idle in transaction" in found
        assert "has locked rows" in found
        with pytest.raises(DatabaseUnavailable):
            await waiting
        # no request waits any more, but the last one has failed
        with pytest.raises(DatabaseStuck, match="was not carried out within"):
            await message.check(("heads",))
    await message.write(work)
    await message.check(("heads",))


async def first_error(database: Database) -> str:
    while True:
        try:
            await database.check(("heads",))
        except DatabaseStuck as error:
            return str(error)
        await asyncio.sleep(0.05)


async def test_sessions_have_the_name_of_their_process(message: Database) -> None:
    own = f"dragoman message {socket.gethostname()} {os.getpid()}"
    names = sa.text("SELECT application_name FROM pg_stat_activity WHERE datname = current_database()")
    assert await message.read(lambda connection: connection.execute(names).scalar_one()) == own
    named = make_engine(f"{url_of(message)}{'&' if message.url.query else '?'}application_name=ours", name="message")
    with named.connect() as connection:
        assert "ours" in connection.execute(names).scalars().all()
    named.dispose()


def test_the_oldest_unfinished_work_counts() -> None:
    work = UnfinishedWork()
    assert work.seconds() == 0
    with pytest.raises(DatabaseUnavailable), work.tracked(DatabaseUnavailable):
        raise DatabaseUnavailable
    assert work.seconds() > 0
    with work.tracked(DatabaseUnavailable):
        assert work.seconds() > 0
    assert work.seconds() == 0
