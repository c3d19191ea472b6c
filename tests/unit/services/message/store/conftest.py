"""Two databases of message with empty tables, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.migrate import upgrade
from tests.support.servers import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """By name: a, b."""
    if request.param == "sqlite":
        found = {name: f"sqlite:///{tmp_path / name}.db" for name in "ab"}
        for url in found.values():
            upgrade("message", url)
        yield found
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as a, server.database() as b:
        upgrade("message", a)
        upgrade("message", b)
        yield {"a": a, "b": b}
