"""The operator's work on databases and streams, against real servers."""

from pathlib import Path

import click
import pytest

from services.cli.installation import find
from services.cli.migrations import migrate_all
from tests.support.servers import NatsServer
from tests.unit.services.cli.installed import beside


def test_migrate_brings_databases_and_streams_up_to_date(nats_server: NatsServer, tmp_path: Path) -> None:
    for _ in range(2):
        migrate_all(beside(nats_server, tmp_path), ["auth", "session", "message", "streams"])
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["auth.db", "message.db", "session.db"]


def test_migrate_tells_what_it_cannot_reach(tmp_path: Path) -> None:
    nowhere = find(None, (), {"database.url": f"sqlite:///{tmp_path}/no/such/{{service}}.db"})
    with pytest.raises(click.ClickException, match="the database of auth: unable to open database file"):
        migrate_all(nowhere, ["auth"])
