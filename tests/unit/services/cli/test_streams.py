"""Streams and their consumers are created and updated. After a full disk, a restart of nats-server lets them store
again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType
from pydantic import SecretStr

from local import nats as embedded
from local.credentials import generate
from local.nats import SETUP
from local.ports import free_port
from local.process_group import ProcessGroup
from services.cli.streams import JetStreamMonitor, NotReachable, connect, has_room, provision, stores_events
from shared.bus.streams import stream_configs
from shared.contract.permissions import BUS_USERS
from shared.contract.subjects import DEAD_LETTERS, STREAM, durable
from shared.settings.servers import NatsSettings
from tests.support.servers import NatsServer, Server
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import WAIT_SECONDS


async def test_provisioning_creates_streams_and_is_idempotent(nats_server: NatsServer) -> None:
    nats_server.make_bare()
    settings = nats_server.settings("setup")
    await provision(settings)
    await provision(settings)
    async with await nats.connect(
        settings.url, user="setup", password=settings.password.get_secret_value(), inbox_prefix="inbox.setup"
    ) as client:
        stream = client.jetstream()
        for name, retention in ((STREAM, RetentionPolicy.INTEREST), (DEAD_LETTERS, RetentionPolicy.LIMITS)):
            config = (await stream.stream_info(name)).config
            assert (config.storage, config.discard, config.retention) == (
                StorageType.FILE,
                DiscardPolicy.NEW,
                retention,
            )
            assert config.duplicate_window == 600
        for service, peer in BUS_USERS.items():
            for topic in peer.consumes:
                info = await stream.consumer_info(STREAM, durable(service, topic))
                assert info.config is not None
                assert info.config.filter_subject == topic.subject


async def test_error_without_permission(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.streams._REQUEST_SECONDS", 0.1)
    with pytest.raises(NotReachable, match="may not create streams"):
        await provision(nats_server.settings("edge"))


async def test_error_for_an_unreachable_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.streams._SECONDS", 0.3)
    with pytest.raises(NotReachable, match="does not answer"):
        await provision(NatsSettings(url="nats://127.0.0.1:1"))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.streams._INTERVAL_SECONDS", 0.3)


class MonitoredServer:
    """A nats-server on a small disk, and the monitor that restarts it."""

    def __init__(self, disk: SmallDisk, process_group: ProcessGroup, log: Path) -> None:
        port, passwords = free_port(), generate().nats
        config = disk.path / "nats.conf"
        config.write_bytes(embedded.configuration(port, disk.path / "store", passwords))
        self.server = Server("nats", embedded.command(config), port, process_group, log)
        self.settings = NatsSettings(url=f"nats://127.0.0.1:{port}", user=SETUP, password=SecretStr(passwords[SETUP]))
        self.disk = disk
        self.lines: list[str] = []
        self.restarts = 0

    async def restart(self) -> None:
        self.restarts += 1
        await asyncio.to_thread(self.server.restart)

    async def until_stores(self, expected: bool) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.stores() != expected:
                await asyncio.sleep(0.05)

    async def stores(self) -> bool:
        try:
            return await stores_events(self.settings, 1.0)
        except (OSError, TimeoutError, nats.errors.Error):
            return False

    @contextlib.asynccontextmanager
    async def monitored(self) -> AsyncIterator[None]:
        monitor = JetStreamMonitor(self.settings, self.disk.path, self.restart, self.lines.append)
        running = asyncio.ensure_future(monitor.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})


@pytest.fixture
def monitored(tmp_path: Path, process_group: ProcessGroup) -> Iterator[MonitoredServer]:
    with small_disk(tmp_path / "disk", 16) as disk:
        server = MonitoredServer(disk, process_group, tmp_path / "nats.log")
        server.server.start()
        yield server
        server.server.kill()


async def test_a_server_that_stores_nothing_is_restarted_once_its_disk_has_room(monitored: MonitoredServer) -> None:
    await provision(monitored.settings)
    monitored.disk.fill()
    async with monitored.monitored():
        await monitored.until_stores(False)
        async with asyncio.timeout(WAIT_SECONDS):
            while not monitored.lines:
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        assert monitored.restarts == 0
        assert monitored.lines == ["stores no events"]
        monitored.disk.free()
        await monitored.until_stores(True)
        assert monitored.restarts == 1


async def test_without_the_restart_it_stores_nothing_although_its_disk_has_room(monitored: MonitoredServer) -> None:
    """This shows why the monitor exists: nats-server itself does not recover."""
    await provision(monitored.settings)
    monitored.disk.fill()
    await monitored.until_stores(False)
    monitored.disk.free()
    assert not await monitored.stores()


async def test_a_missing_stream_is_created_and_no_reason_to_restart(monitored: MonitoredServer) -> None:
    async with monitored.monitored():
        await monitored.until_stores(True)
        assert monitored.restarts == 0


async def test_a_missing_consumer_of_the_probe_is_created(monitored: MonitoredServer) -> None:
    """Without the consumer, the server confirms probes but stores none."""
    client = await connect(monitored.settings)
    await client.jetstream().add_stream(stream_configs(1)[0])
    assert not await monitored.stores()
    async with monitored.monitored():
        await monitored.until_stores(True)
    assert monitored.restarts == 0
    await client.close()


async def test_a_server_that_does_not_answer_is_left_alone(monitored: MonitoredServer) -> None:
    await provision(monitored.settings)
    monitored.server.kill()
    async with monitored.monitored():
        await asyncio.sleep(1.2)
    assert monitored.restarts == 0
    assert monitored.lines == []


async def test_probes_are_not_kept(nats_server: NatsServer) -> None:
    settings = nats_server.settings(SETUP)
    for _ in range(5):
        assert await stores_events(settings, 1.0)
    client = await connect(settings)
    info = await client.jetstream().stream_info("EVENTS")
    assert info.state.last_seq == 5
    assert info.state.messages <= 1
    await client.close()


def test_room_is_tried_and_given_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        assert has_room(disk.path)
        disk.fill()
        assert not has_room(disk.path)
        assert [path.name for path in disk.path.iterdir()] == ["ballast"]
