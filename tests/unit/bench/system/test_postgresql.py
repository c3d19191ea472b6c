"""Tests the PostgreSQL that the bench starts itself. Its programs are those of the tests."""

import asyncio
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.errors import BenchError
from bench.system import postgresql
from bench.system.postgresql import disposable_postgresql, main_process
from bench.system.processes import cpu_seconds, parent_of, tree_cpu_seconds
from local.process_group import ProcessGroup
from shared.database import open_engine
from tests.support.processes import until_gone
from tests.support.servers import PostgresServer


async def test_each_service_has_an_empty_database_with_synced_commits(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    with ProcessGroup() as process_group:
        async with disposable_postgresql(process_group) as url:
            pid = await asyncio.to_thread(main_process, url)
            before = tree_cpu_seconds(pid)
            for service in ("auth", "session", "message"):
                await asyncio.to_thread(_work, url.format(service=service))
            used = tree_cpu_seconds(pid)
        until_gone([pid])
    assert before is not None
    assert used is not None
    assert used > before, "the connections have ended, and count"


def _work(url: str) -> None:
    with open_engine(url) as engine, engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW fsync")) == "on"
        assert connection.scalar(sa.text("SELECT count(*) FROM generate_series(1, 1000000)")) == 1_000_000


def test_without_binaries_the_operator_learns_how_to_give_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(postgresql, "_PACKAGES", Path("/nowhere"))

    async def start() -> None:
        with ProcessGroup() as process_group:
            async with disposable_postgresql(process_group):
                pass

    with pytest.raises(BenchError, match="give empty databases"):
        asyncio.run(start())


def test_only_a_local_process_of_the_name_counts() -> None:
    this = os.getpid()
    name = Path(f"/proc/{this}/comm").read_text().strip()
    assert parent_of(this, name) == os.getppid()
    assert parent_of(this, "another") == 0
    assert cpu_seconds(this) is not None
    assert main_process("sqlite:///x.db") == 0
