"""Tests the migration of databases and streams with real servers."""

from pathlib import Path

import click
import pytest

from local.installation import find
from local.up_plan import SERVICES
from services.cli.migrations import migrate_all
from tests.support.servers import NatsServer
from tests.unit.services.cli.installed import write_installation


def test_migrate_upgrades_databases_and_streams(nats_server: NatsServer, tmp_path: Path) -> None:
    for _ in range(2):
        migrate_all(write_installation(nats_server, tmp_path), ["auth", "session", "message", "streams"])
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["auth.db", "message.db", "session.db"]


def test_the_databases_are_in_the_data_directory_whatever_its_name(tmp_path: Path) -> None:
    data = tmp_path / "a?b 100%41 #1 {service}"
    data.mkdir()
    migrate_all(find(None, (), {"data": str(data)}), SERVICES)
    assert list(tmp_path.iterdir()) == [data]
    assert sorted(path.name for path in data.glob("*.db")) == ["auth.db", "message.db", "session.db"]


def test_error_for_an_unreachable_database(tmp_path: Path) -> None:
    nowhere = find(None, (), {"database.url": f"sqlite:///{tmp_path}/no/such/{{service}}.db"})
    with pytest.raises(click.ClickException, match="the database of auth: unable to open database file"):
        migrate_all(nowhere, ["auth"])
