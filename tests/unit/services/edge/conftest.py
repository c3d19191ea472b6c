"""Edges without a gateway over a real bus and a real Valkey; auth, session and message are stand-ins."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.edge.app import Edge
from services.edge.dialects.registry import DIALECTS, Dialects
from shared.contract.ids import AccountId, NodeId
from shared.settings import Settings
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.edge.devices import Device
from tests.unit.services.edge.fake_services import Auth, MessageService, Session
from tests.unit.services.edge.json_dialect import ENTRY
from tests.unit.services.edge.world import World


@dataclass
class Town:
    """Edges and their neighbours, all running; every edge speaks the dialect of tests, too."""

    nats: NatsServer
    valkey: ValkeyServer
    world: World
    auth: Auth
    session: Session
    message: MessageService
    stack: AsyncExitStack
    files: Path
    """The edges' directory of media."""
    edges: list[Edge] = field(default_factory=list)
    dialects: Dialects = (*DIALECTS, ENTRY)

    async def edge(self, **settings: Any) -> Edge:
        """One more, with these settings of the section `edge`."""
        limits = settings.pop("limits", {"rates": False})
        made = Settings(
            nats=self.nats.settings("edge"),
            redis=self.valkey.settings("edge"),
            edge={"drain_seconds": 0.2, **settings},
            limits=limits,
            media={"directory": self.files},
        )
        edge = Edge(made, CollectorRegistry(), self.dialects)
        await edge.media.prepare()
        await edge.bus.start()
        running = asyncio.create_task(edge.run(), name="edge")
        self.stack.push_async_callback(_end, edge, running)
        self.edges.append(edge)
        return edge

    async def device(self, account: int, edge: Edge | None = None) -> Device:
        """Logged in."""
        return await Device((edge or self.edges[0]).endpoint).login(account)

    async def where(self, account: int) -> list[NodeId]:
        """The nodes that presence names, once it is known."""
        while (homes := (await self.message.presence.lookup([AccountId(account)])).nodes) is None:
            await asyncio.sleep(0.05)
        return list(homes.get(AccountId(account), ()))

    async def replica(self, **knobs: Any) -> MessageService:
        """One more of message."""
        replica = MessageService(self.nats, self.valkey, self.world, **knobs)
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
    """nats-server as the test before left it: nothing of the edge's is kept there."""
    if not _nats_process.running:
        await _nats_process.make_fresh()
    return _nats_process


@pytest.fixture
async def town(
    bus_server: NatsServer, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Town]:
    """No edge yet."""
    monkeypatch.setattr("shared.presence._TRUST_SECONDS", 0.0)
    world = World()
    auth, session = Auth(bus_server), Session(bus_server, world)
    message = MessageService(bus_server, valkey_server, world)
    async with AsyncExitStack() as stack:
        for start, stop in _lives(auth, session, message):
            await start()
            stack.push_async_callback(stop)
        yield Town(bus_server, valkey_server, world, auth, session, message, stack, tmp_path / "media")
        for neighbour in (auth, session, message):
            neighbour.open()


def _lives(
    auth: Auth, session: Session, message: MessageService
) -> list[tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]]:
    return [(auth.bus.start, auth.bus.stop), (session.bus.start, session.bus.stop), (message.start, message.stop)]
