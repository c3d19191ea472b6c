"""The operator's commands against real servers."""

import os
from pathlib import Path

import click
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.cli.data import Run, write_run
from services.cli.embedded.credentials import Credentials, write_private
from services.cli.operating import migrate_all, set_maintenance
from shared.bus import Bus
from shared.contract.auth import SetMaintenance
from shared.contract.errors import ErrorCode, Refused
from shared.contract.session import Done
from shared.contract.subjects import SET_MAINTENANCE
from shared.settings import Nats, Settings, load
from tests.servers import NatsServer


def beside(server: NatsServer, directory: Path) -> Settings:
    """The settings of a command that finds a `dragoman up` in this data directory."""
    write_run(directory, Run(os.getpid(), server.settings("admin").url, True, []))
    write_private(directory / "credentials.json", msgspec.json.encode(Credentials(server.passwords, {})))
    return Settings(data=directory)


async def test_maintenance_is_told_to_auth(
    nats_server: NatsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    async def handle(request: SetMaintenance) -> Done:
        asked.append(request.on)
        return Done()

    auth = Bus(nats_server.settings("auth"), "auth", CollectorRegistry())
    auth.serve(SET_MAINTENANCE, handle, queue="auth")
    await auth.start()
    await set_maintenance(beside(nats_server, tmp_path), {}, on=True)
    await set_maintenance(Settings(nats=nats_server.settings("admin")), {"nats.url": "flag"}, on=False)
    await auth.stop()
    assert asked == [True, False]
    assert "maintenance is on" in capsys.readouterr().out


async def test_a_refusal_is_told(nats_server: NatsServer, tmp_path: Path) -> None:
    async def refuse(_: SetMaintenance) -> Done:
        raise Refused(ErrorCode.INTERNAL, "not today")

    auth = Bus(nats_server.settings("auth"), "auth", CollectorRegistry())
    auth.serve(SET_MAINTENANCE, refuse)
    await auth.start()
    with pytest.raises(click.ClickException, match="not today"):
        await set_maintenance(beside(nats_server, tmp_path), {}, on=True)
    await auth.stop()


async def test_without_a_system_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.operating._CONNECT_SECONDS", 0.3)
    with pytest.raises(click.ClickException, match="is the system running"):
        await set_maintenance(Settings(nats=Nats(url="nats://127.0.0.1:1")), {"nats.url": "flag"}, on=True)


def test_migrate_brings_databases_and_streams_up_to_date(nats_server: NatsServer, tmp_path: Path) -> None:
    settings = beside(nats_server, tmp_path)
    settings = settings.model_copy(
        update={"database": load(None, {"database.url": f"sqlite:///{tmp_path}/{{service}}.db"})[0].database}
    )
    for _ in range(2):
        migrate_all(settings, {}, ["auth", "session", "message", "streams"])
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["auth.db", "message.db", "session.db"]


def test_migrate_tells_what_it_cannot_reach(tmp_path: Path) -> None:
    settings = load(None, {"database.url": f"sqlite:///{tmp_path}/no/such/{{service}}.db"})[0]
    with pytest.raises(click.ClickException, match="the database of auth: unable to open database file"):
        migrate_all(settings, {}, ["auth"])
