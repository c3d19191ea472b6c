"""Two databases of message with empty tables, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import create_tables
from tests.support.servers import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """By name: a, b."""
    if request.param == "sqlite":
        yield {name: create_tables("message", f"sqlite:///{tmp_path / name}.db") for name in "ab"}
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as a, server.database() as b:
        yield {"a": create_tables("message", a), "b": create_tables("message", b)}
