"""Tests the tables of message on Citus."""

import re

import pytest

from services.message.tables import metadata
from shared.database import make_engine
from tests.support import citus
from tests.support.databases import create_tables
from tests.support.servers import PostgresServer


def test_citus_distributes_every_table_of_chats() -> None:
    of_chats = {name for name, table in metadata.tables.items() if "chat_id" in table.columns}
    listed = re.search(r"ARRAY\[(.*)\]\) AS name", citus.DISTRIBUTE.read_text())
    assert listed is not None
    assert {"heads", *re.findall(r"\w+", listed[1])} == of_chats


@pytest.mark.skipif(not citus.WANTED, reason="it needs Citus")
def test_tables_are_distributed_again_after_an_upgrade(postgres_server: PostgresServer) -> None:
    """A table that an upgrade creates is at first a local table.

    The settings of the query planner prevent deadlocks, also on the workers.
    """
    with postgres_server.database() as url:
        create_tables("message", url)
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT undistribute_table('drafts')")
        citus.distribute(url)
        with engine.connect() as connection:
            tables = connection.exec_driver_sql("SELECT logicalrelid::text FROM pg_dist_partition").scalars()
            assert "drafts" in tables.all()
            for switch in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
                shown = connection.exec_driver_sql(f"SELECT result FROM run_command_on_workers('SHOW {switch}')")
                assert shown.scalars().all() == ["off", "off"]
        engine.dispose()
