"""Edges without a gateway, on a real NATS and a real Valkey. The services auth, session and message are fakes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.edge.app import Edge
from services.edge.dialects.registry import DIALECTS, Dialects
from services.edge.gateway import Gateway
from shared.bus.client import Bus
from shared.contract.ids import AccountId, NodeId
from shared.presence.store import Presence
from shared.settings import Settings
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.fake_backend import FakeBackend
from tests.unit.services.edge.fake_services import FakeAuthService, FakeMessageService, FakeSessionService
from tests.unit.services.edge.json_dialect import ENTRY


@dataclass
class EdgeCluster:
    """Running edges and fake services. Every edge also has the JSON dialect of the tests."""

    nats: NatsServer
    valkey: ValkeyServer
    backend: FakeBackend
    auth: FakeAuthService
    session: FakeSessionService
    message: FakeMessageService
    stack: AsyncExitStack
    media_directory: Path
    """The media directory of all edges."""
    edges: list[Edge] = field(default_factory=list)
    registries: list[CollectorRegistry] = field(default_factory=list)
    dialects: Dialects = (*DIALECTS, ENTRY)

    async def add_edge(self, **settings: Any) -> Edge:
        """Starts another edge with these settings of the sections `edge`, `limits` and `media`.

        `nats_port` is the port of a proxy for NATS.
        """
        limits, media = settings.pop("limits", {"rates": False}), settings.pop("media", {})
        nats = self.nats.settings("edge")
        if nats_port := settings.pop("nats_port", 0):
            nats = nats.model_copy(update={"url": f"nats://127.0.0.1:{nats_port}"})
        made = Settings(
            nats=nats,
            redis=self.valkey.settings("edge"),
            edge={"drain_seconds": 0.2, **settings},
            limits=limits,
            media={"directory": self.media_directory, **media},
        )
        self.registries.append(CollectorRegistry())
        edge = Edge(made, self.registries[-1], self.dialects)
        await edge.media.prepare()
        await edge.bus.start()
        running = asyncio.create_task(edge.run(), name="edge")
        self.stack.push_async_callback(_end, edge, running)
        self.edges.append(edge)
        return edge

    async def open_gateway(self, **settings: Any) -> Gateway:
        """Starts another edge with these settings, and opens its ports until the end of the test."""
        edge = await self.add_edge(port=0, **settings)
        made = edge.context.settings
        gateway = Gateway(made.edge, made.limits, edge.endpoint, edge.http, edge.sockets)
        await gateway.start()
        self.stack.push_async_callback(gateway.close)
        return gateway

    async def run(self, *buses: Bus) -> None:
        """Starts these buses, and stops them at the end of the test."""
        for bus in buses:
            await bus.start()
            self.stack.push_async_callback(bus.stop)

    async def client(self, account: int, edge: Edge | None = None) -> EdgeClient:
        """Returns a client that is logged in."""
        return await EdgeClient((edge or self.edges[0]).endpoint).login(account)

    async def synced_clients(self, *accounts: int) -> list[EdgeClient]:
        """Returns clients of the first edge that are logged in and have read their missed messages."""
        clients = [await self.client(account) for account in accounts]
        for client in clients:
            await client.until_synced()
        return clients

    async def enter(self, *accounts: int, **settings: Any) -> list[EdgeClient]:
        """Starts an edge with these settings, and returns synced clients of these accounts."""
        await self.add_edge(**settings)
        return await self.synced_clients(*accounts)

    async def chat(self, *members: int, online: Sequence[int] = (), **settings: Any) -> list[EdgeClient]:
        """Starts an edge with these settings, and makes chat 7.

        Returns synced clients of its members, or of the accounts that are `online`.
        """
        self.backend.add_chat(7, *members)
        return await self.enter(*(online or members), **settings)

    async def push(self, sender: int, *texts: str, to: EdgeClient) -> None:
        """Sends texts to chat 7, and waits until they are the last ones that this client has received there."""
        await self.message.send_texts(7, sender, *texts)
        await to.socket.until(lambda: to.texts(7)[-len(texts) :] == list(texts))

    async def nodes_of(self, account: int) -> list[NodeId]:
        """Returns the account's nodes in presence, even without a message service. Waits while presence is unknown."""
        presence = Presence(self.valkey.settings("message"))
        try:
            while (nodes := (await presence.lookup([AccountId(account)])).nodes) is None:
                await asyncio.sleep(0.05)
        finally:
            await presence.close()
        return list(nodes.get(AccountId(account), ()))

    async def add_message_replica(self) -> FakeMessageService:
        """Starts another replica of the message service."""
        replica = FakeMessageService(self.nats, self.valkey, self.backend)
        await replica.start()
        self.stack.push_async_callback(replica.stop)
        return replica


async def _end(edge: Edge, running: "asyncio.Task[None]") -> None:
    running.cancel()
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()
    for client in list(edge.endpoint.clients.values()):
        client.closed()
    await edge.close()


@pytest.fixture
async def bus_server(_nats_process: NatsServer) -> NatsServer:
    """A nats-server in the state in which the previous test left it. It stores nothing about the edges."""
    if not _nats_process.running:
        await _nats_process.make_fresh()
    return _nats_process


@pytest.fixture
async def cluster(
    bus_server: NatsServer, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[EdgeCluster]:
    """A cluster that has no edge yet."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    backend = FakeBackend()
    auth, session = FakeAuthService(bus_server), FakeSessionService(bus_server, backend)
    message = FakeMessageService(bus_server, valkey_server, backend)
    async with AsyncExitStack() as stack:
        cluster = EdgeCluster(bus_server, valkey_server, backend, auth, session, message, stack, tmp_path / "media")
        await cluster.run(auth.bus, session.bus)
        await message.start()
        stack.push_async_callback(message.stop)
        yield cluster
        for service in (auth, session, message):
            service.unblock_all()


@pytest.fixture
async def edge(cluster: EdgeCluster) -> Edge:
    """The first edge of the cluster."""
    return await cluster.add_edge()
