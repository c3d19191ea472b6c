"""Replicas of one of two databases do not answer, as ones that are frozen: what edges store all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.edge.presence.local_accounts import LocalAccounts
from services.edge.receipts.read_state_flusher import ReadStateFlusher
from shared.bus.client import Bus
from shared.contract.ids import ChatId, NodeId
from shared.contract.message import Marked, MarkRead, ReadRange
from shared.contract.subjects import MARK_READ, stored_in
from shared.presence import Presence
from shared.settings import LimitsSettings
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.presence.test_local_accounts import silent_announcer
from tests.unit.services.edge.upstream.posting_edge import running_edge
from tests.unit.services.message.environment import ANN, BOB, MessageEnvironment, running_replica, wait_until
from tests.unit.services.message.placed import is_in_main, placed_settings

pytestmark = pytest.mark.usefixtures("patient_rosters")

CHATS = [ChatId(number) for number in range(1, 13)]
MAIN = [chat for chat in CHATS if is_in_main(chat)]
EDGE = NodeId("edge")


class SilentReplica:
    """A replica of the database `second` that gets read state, and answers nothing."""

    def __init__(self, nats_server: NatsServer) -> None:
        self.requests = 0
        self._released = asyncio.Event()
        self._bus = Bus(nats_server.settings("message"), "message", CollectorRegistry())
        self._bus.serve(stored_in("second", MARK_READ), self._hold, queue="second")

    async def _hold(self, _: MarkRead) -> Marked:
        self.requests += 1
        await self._released.wait()
        return Marked()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SilentReplica"]:
        await self._bus.start()
        try:
            yield self
        finally:
            self._released.set()
            await self._bus.stop()


@pytest.fixture
async def replicas(
    env: MessageEnvironment, nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path
) -> AsyncIterator[asyncio.Event]:
    """A replica of each database, and a message in each chat. The event stops the replica of `second`."""
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("main", "second")}
    settings = placed_settings(nats_server, valkey_server, urls)
    for chat in CHATS:
        await env.session.add_members(chat, ANN, BOB)
    async with running_replica(settings["main"]), running_replica(settings["second"]) as stopping:
        async with running_edge(nats_server) as edge:
            await wait_until(lambda: {edge.owners.database(chat) for chat in CHATS} == {"main", "second"})
            await edge.post(CHATS)
        yield stopping


@pytest.mark.parametrize("first_attempt", [0.55, 0.9])
async def test_an_edge_stores_its_read_state_in_the_other_database(
    env: MessageEnvironment,
    replicas: asyncio.Event,
    nats_server: NatsServer,
    valkey_server: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    first_attempt: float,
) -> None:
    """However long its attempts are, one of them outlasts the request to the silent database."""
    monkeypatch.setattr("shared.bus.patience.LEAST_SECONDS", first_attempt)
    announced: list[ReadRange] = []
    presence = Presence(valkey_server.settings("edge"))
    accounts = LocalAccounts(EDGE, presence, LimitsSettings(), silent_announcer(EDGE))
    flusher = ReadStateFlusher(env.edges.bus, EDGE, accounts)
    flusher.notify_committed(announced.extend)
    flusher.mark_read(BOB, {chat: [(1, 1)] for chat in CHATS})
    async with SilentReplica(nats_server).running(), asyncio.timeout(WAIT_SECONDS):
        replicas.set()
        while not await flusher.flush() or {one.chat for one in announced} != {*MAIN}:
            announced.clear()  # the replica that is stopped still answers, or the machine is busy
            flusher.mark_read(BOB, {chat: [(1, 1)] for chat in CHATS})
    assert [one.chat for one in announced] == MAIN
    await presence.close()


@pytest.mark.usefixtures("replicas")
async def test_a_part_is_requested_again_from_another_replica(env: MessageEnvironment, nats_server: NatsServer) -> None:
    """The replica of the database `main` may ask the silent one twice in turn: then the part stays unstored."""
    read = MarkRead([ReadRange(BOB, chat, 1, 1) for chat in CHATS])
    async with SilentReplica(nats_server).running() as silent, asyncio.timeout(WAIT_SECONDS):
        requests, unstored = 0, read.ranges
        while silent.requests == requests or unstored:
            requests = silent.requests
            unstored = (await env.edges.bus.request(MARK_READ, read)).unstored
