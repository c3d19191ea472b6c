"""Servers of NATS that a setting or their own configuration makes unfit."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from services.cli.doctor import broker
from services.cli.installation import Server
from services.cli.main import main
from shared.bus.client import Bus
from shared.bus.server_needs import UnfitServer
from shared.settings import NatsSettings
from tests.support.servers import NatsServer
from tests.unit.services.cli.installed import write_installation

PASSWORD = "p@:/?#%w"
ENCODED = "p%40%3A%2F%3F%23%25w"


def give_password(configuration: dict[str, Any]) -> None:
    (admin,) = [one for one in configuration["authorization"]["users"] if one["user"] == "admin"]
    admin["password"] = PASSWORD


def shrink(configuration: dict[str, Any]) -> None:
    configuration["max_payload"] = 64_000


def remove_jetstream(configuration: dict[str, Any]) -> None:
    del configuration["jetstream"]


async def test_a_password_in_the_url_is_decoded(nats_server: NatsServer) -> None:
    settings = NatsSettings(url=f"nats://admin:{ENCODED}@127.0.0.1:{nats_server.port}")
    with nats_server.configured(give_password):
        bus = Bus(settings, "admin", CollectorRegistry())
        await bus.start()
        await bus.check()
        await bus.stop()
        (found,) = await broker.check(settings, Server.ELSEWHERE)
        assert "rejects" not in found.text


async def test_room_for_few_bytes_is_named_at_the_start_and_by_doctor(nats_server: NatsServer) -> None:
    settings = nats_server.settings("session")
    with nats_server.configured(shrink):
        with pytest.raises(UnfitServer, match=r"max_payload of NATS is 64000 bytes.*nats\.url"):
            await Bus(settings, "session", CollectorRegistry()).start()
        (found,) = await broker.check(settings, Server.ELSEWHERE)
    assert (found.good, "set max_payload to 1MB" in found.text) == (False, True)


async def test_nats_without_jetstream_is_named_by_migrate_and_doctor(nats_server: NatsServer, tmp_path: Path) -> None:
    write_installation(nats_server, tmp_path)
    with nats_server.configured(remove_jetstream):
        migrated = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "--data", str(tmp_path), "streams"])
        found = await broker.check(nats_server.settings("setup"), Server.ELSEWHERE)
    assert (migrated.exit_code, "NATS runs without JetStream: start nats-server with -js" in migrated.output) == (
        1,
        True,
    )
    (streams,) = [one for one in found if one.what == "streams"]
    assert (streams.good, "NATS runs without JetStream" in streams.text) == (False, True)
