"""The migrations create exactly the declared tables, and stop no service."""

import threading
import time

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.message.tables import metadata
from shared.database import make_engine
from shared.migrate import upgrade
from tests.support.servers import PostgresServer


def test_migrations_create_the_declared_tables(migrated_url: str) -> None:
    engine = sa.create_engine(migrated_url)  # without the time-outs of a service
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


BEFORE_0006 = (
    "ALTER TABLE heads DROP COLUMN rev", "DROP TABLE revisions", "DROP TABLE edits", "DROP TABLE reactions",
    "DROP TABLE search_heads", "DROP TABLE search_documents", "DROP TABLE search_entries",
    "DROP TABLE search_signatures",
    "UPDATE alembic_version SET version_num = '0005'",
    "INSERT INTO heads (chat_id, last_index, last_time) VALUES (1, 1, 1)",
)  # fmt: skip


def test_posts_do_not_wait_for_the_migration_behind_a_long_reader(postgres_server: PostgresServer) -> None:
    """As a backup reads. The column is added once it is done."""
    with postgres_server.database() as url:
        upgrade("message", url)
        engine = make_engine(url)
        with engine.begin() as connection:
            for statement in BEFORE_0006:
                connection.exec_driver_sql(statement)
        slowest = 0.0
        with engine.connect() as reader:
            reader.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
            reader.exec_driver_sql("SELECT count(*) FROM heads")
            migration = threading.Thread(target=upgrade, args=("message", url))
            migration.start()
            for _ in range(20):
                began = time.monotonic()
                with engine.begin() as connection:
                    connection.execute(sa.text("UPDATE heads SET last_index = last_index + 1 WHERE chat_id = 1"))
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.1)
            assert migration.is_alive()
        migration.join(30)
        assert not migration.is_alive()
        assert slowest < 2.0, "a post waits for one attempt at most"
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT last_index, rev FROM heads").one() == (21, 0)
        engine.dispose()
