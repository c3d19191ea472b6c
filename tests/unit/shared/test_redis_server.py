"""The kinds of Redis servers: real Valkeys as a cluster's node and as a Sentinel end every service at its start."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.exceptions import RedisError
from structlog.testing import capture_logs

import services.auth.app
import services.edge.app
import services.message.app
import services.session.app
from services.auth.adapters.sliding_window import SlidingWindow
from services.auth.metrics import AuthMetrics
from services.cli.embedded import valkey
from services.cli.ports import free_port
from services.cli.process_group import ProcessGroup
from shared.contract.ids import AccountId, NodeId
from shared.presence import Presence
from shared.redis_server import UnsupportedRedis, require_kind
from shared.settings import NatsSettings, RedisSettings, Settings
from tests.support.servers import Server, ValkeyServer
from tests.support.valkey_cluster import ValkeyCluster
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


async def test_a_cluster_is_accepted_by_every_user(valkey_cluster: ValkeyCluster) -> None:
    for user in ("auth", "session", "message", "edge"):
        await require_kind(valkey_cluster.settings(user))


async def test_a_single_server_is_no_cluster(valkey_server: ValkeyServer) -> None:
    settings = valkey_server.settings("edge").model_copy(update={"cluster": True})
    with pytest.raises(UnsupportedRedis, match=r"a single server, but redis\.cluster is set"):
        await require_kind(settings)


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
        with pytest.raises(UnsupportedRedis, match=r"Redis Cluster, set redis\.cluster, too"):
            await serve(settings, asyncio.Event())


async def test_a_sentinel_is_rejected(sentinel: Server) -> None:
    settings = RedisSettings(url=SecretStr(f"redis://127.0.0.1:{sentinel.port}/0"))
    with pytest.raises(UnsupportedRedis, match="a Sentinel, which is not supported"):
        await require_kind(settings)


async def test_a_server_that_becomes_a_cluster_later_is_named_once(cluster_node: ValkeyServer) -> None:
    """As long as it is one, it is as if there was no Redis."""
    presence = Presence(cluster_node.settings("edge"))
    limits = SlidingWindow(cluster_node.settings("auth"), AuthMetrics(CollectorRegistry()))
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(RedisError):
                await presence.beat(NodeId("edge-1"), 10.0)
            with pytest.raises(RedisError):
                await presence.join(NodeId("edge-1"), [AccountId(1)])
            assert (await presence.lookup([AccountId(1)])).nodes is None
        assert await limits.add("login:1", 60.0, 5) == 0
    await presence.close()
    await limits.close()
    assert sum("Redis Cluster, set redis.cluster, too" in log["event"] for log in logs) == 2
