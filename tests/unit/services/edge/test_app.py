"""Tests an edge as a process runs it: its start, its end, and the failure of a part."""

import asyncio
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from local.ports import free_port
from services.edge.app import serve
from services.edge.client.endpoint import ConnectionRegistry
from services.edge.gateway import Gateway
from shared.presence.store import Presence
from shared.settings import Settings
from shared.settings.servers import NatsSettings, OpsSettings
from tests.support.ops_port import ops_get
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster


def settings(cluster: EdgeCluster, port: int) -> Settings:
    return Settings(
        nats=cluster.nats.settings("edge"),
        redis=cluster.valkey.settings("edge"),
        edge={"port": port, "drain_seconds": 0.2},
        media={"directory": cluster.media_directory},
    )


async def readiness(observed: Settings, status: int) -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        while (seen := await ops_get(observed, "/readyz"))[0] != status or "nats" in seen[1]:
            await asyncio.sleep(0.02)
    return seen[1]


async def until_open(address: str) -> ClientConnection:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await connect(address)
            except OSError:
                await asyncio.sleep(0.02)


async def test_an_edge_serves_until_it_is_stopped(cluster: EdgeCluster) -> None:
    port, stopping = free_port(), asyncio.Event()
    serving = asyncio.create_task(serve(settings(cluster, port), stopping))
    client = await until_open(f"ws://127.0.0.1:{port}/ws/ourchat-v2")
    await client.send('{"code":6,"login_type":1,"account":"1","password":"right"}')
    assert '"code":7,"status":0' in str(await client.recv())
    (node,) = await cluster.nodes_of(1)
    stopping.set()
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == 1012
    async with asyncio.timeout(WAIT_SECONDS):
        await serving
    assert await cluster.nodes_of(1) == []
    presence = Presence(cluster.valkey.settings("edge"))
    assert not await presence.alive(node)
    await presence.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await connect(f"ws://127.0.0.1:{port}/")


async def test_an_edge_is_ready_once_clients_can_connect(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    release, stopping, start = asyncio.Event(), asyncio.Event(), Gateway.start

    async def start_late(gateway: Gateway) -> None:
        await release.wait()
        await start(gateway)

    monkeypatch.setattr(Gateway, "start", start_late)
    port = free_port()
    observed = settings(cluster, port).model_copy(update={"ops": OpsSettings(port=free_port())})
    serving = asyncio.create_task(serve(observed, stopping))
    assert await readiness(observed, 503) == '{"process":"starting"}\n'
    release.set()
    assert await readiness(observed, 200) == '{"status":"ready"}\n'
    await (await connect(f"ws://127.0.0.1:{port}/ws/ourchat-v2")).close()
    stopping.set()
    async with asyncio.timeout(WAIT_SECONDS):
        await serving


async def test_an_edge_can_be_stopped_before_the_broker_is_up(tmp_path: Path) -> None:
    stopping = asyncio.Event()
    alone = Settings(nats=NatsSettings(url=f"nats://127.0.0.1:{free_port()}"), media={"directory": tmp_path})
    serving = asyncio.create_task(serve(alone, stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    async with asyncio.timeout(WAIT_SECONDS):
        await serving


async def test_an_edge_ends_when_a_part_of_it_fails(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: ConnectionRegistry) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ConnectionRegistry, "run", fail)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(WAIT_SECONDS):
            await serve(settings(cluster, free_port()), asyncio.Event())
    assert caught.value.subgroup(ZeroDivisionError) is not None
