"""The migrations create exactly the declared tables, and stop no service."""

import threading
import time

import pytest
import sqlalchemy as sa

from services.message.tables import metadata
from shared.database import make_engine
from shared.errors import StartupError
from shared.migrate import upgrade
from tests.support.migrating import count_rows, create_at, differences
from tests.support.servers import PostgresServer


def test_migrations_create_the_declared_tables(migrated_url: str) -> None:
    assert differences(migrated_url, metadata) == []


def test_one_of_several_databases_is_rejected_as_it_is(database_url: str) -> None:
    """Chats of the others are missing from it."""
    placed = "INSERT INTO placement (id, name, partitions, id_space, id_spaces, version, served)"
    create_at("message", database_url, "0008", [f"{placed} VALUES (1, 'main', 256, 0, 2, 1, '0-127')"])
    with pytest.raises(StartupError, match="one of several of message"):
        upgrade("message", database_url)
    assert count_rows(database_url, "placement") == 1


def test_the_forms_of_an_emoji_become_one(database_url: str) -> None:
    reacted = 'INSERT INTO reactions (chat_id, "index", emoji, account_id) VALUES (1, 1, :{}, {})'
    forms = {"thumb": "\U0001f44d", "selected": "\U0001f44d\ufe0f", "heart": "\u2764", "text": "+1"}
    rows = [("thumb", 1), ("selected", 1), ("selected", 2), ("heart", 1), ("text", 1)]
    engine = make_engine(database_url)
    create_at("message", database_url, "0010", [])
    with engine.begin() as connection:
        for name, account in rows:
            connection.execute(sa.text(reacted.format(name, account)), {name: forms[name]})
    upgrade("message", database_url)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT emoji, account_id FROM reactions")).all()
    engine.dispose()
    assert {tuple(row) for row in found} == {
        ("\U0001f44d", 1), ("\U0001f44d", 2), ("\u2764\ufe0f", 1), ("+1", 1)
    }  # fmt: skip


def test_read_marks_do_not_wait_for_the_migration_behind_a_long_reader(postgres_server: PostgresServer) -> None:
    """As a backup reads. The column is added once it is done."""
    with postgres_server.database() as url:
        create_at("message", url, "0011", ["INSERT INTO cursors VALUES (1, 1, 1, '')"])
        engine = make_engine(url)
        slowest = 0.0
        with engine.connect() as reader:
            reader.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
            reader.exec_driver_sql("SELECT count(*) FROM cursors")
            migration = threading.Thread(target=upgrade, args=("message", url))
            migration.start()
            for _ in range(20):
                began = time.monotonic()
                with engine.begin() as connection:
                    connection.execute(sa.text("UPDATE cursors SET read_index = read_index + 1"))
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.1)
            assert migration.is_alive()
        migration.join(30)
        assert not migration.is_alive()
        assert slowest < 2.0, "a message that is read waits for one attempt at most"
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT read_index, read_upto FROM cursors").one() == (21, None)
        engine.dispose()
