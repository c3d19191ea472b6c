"""Every service ends at its start if its Redis server is a cluster node or a Sentinel. The tests use real Valkeys."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

import services.auth.app
import services.edge.app
import services.message.app
import services.session.app
from local import valkey
from local.ports import free_port
from local.process_group import ProcessGroup
from shared.redis_server import UnsupportedRedis, require_kind
from shared.settings import Settings
from shared.settings.servers import NatsSettings, RedisSettings
from tests.support.servers import Server, ValkeyServer
from tests.support.waiting import WAIT_SECONDS

Serve = Callable[[Settings, asyncio.Event], Awaitable[None]]


@pytest.fixture
def cluster_node(tmp_path: Path, process_group: ProcessGroup) -> Iterator[ValkeyServer]:
    server = ValkeyServer(
        tmp_path / "cluster", process_group, f"cluster-enabled yes\ncluster-port {free_port()}\n".encode()
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sentinel(tmp_path: Path, process_group: ProcessGroup) -> Iterator[Server]:
    port, config = free_port(), tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    server = Server("sentinel", [*valkey.command(config), "--sentinel"], port, process_group, tmp_path / "sentinel.log")
    server.start()
    yield server
    server.stop()


async def test_a_single_server_is_accepted_by_every_user(valkey_server: ValkeyServer) -> None:
    for user in ("auth", "session", "message", "edge"):
        await require_kind(valkey_server.settings(user))


async def test_a_start_does_not_need_redis() -> None:
    await require_kind(RedisSettings(url=SecretStr(f"redis://127.0.0.1:{free_port()}/0")))


@pytest.mark.parametrize(
    "serve", [services.auth.app.serve, services.edge.app.serve, services.message.app.serve, services.session.app.serve]
)
async def test_a_cluster_ends_every_service_at_its_start(
    serve: Serve, cluster_node: ValkeyServer, tmp_path: Path
) -> None:
    service = serve.__module__.split(".")[1]
    settings = Settings(
        nats=NatsSettings(url=f"nats://127.0.0.1:{free_port()}"),
        redis=cluster_node.settings(service),
        database={"url": f"sqlite:///{tmp_path}/{{service}}.db"},
        media={"directory": tmp_path / "media"},
        auth={"keys": tmp_path / "keys"},
    )
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(UnsupportedRedis, match="a node of a Redis Cluster, which is not supported"):
            await serve(settings, asyncio.Event())


async def test_a_sentinel_is_rejected(sentinel: Server) -> None:
    settings = RedisSettings(url=SecretStr(f"redis://127.0.0.1:{sentinel.port}/0"))
    with pytest.raises(UnsupportedRedis, match="a Sentinel, which is not supported"):
        await require_kind(settings)
