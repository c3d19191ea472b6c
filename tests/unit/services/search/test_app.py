"""Tests the service as a process, with several replicas, and switched off.

Message and session are simulated on NATS.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from local.ports import free_port
from services.message.adapters.announcing import MovedAnnouncer
from services.search.app import serve
from shared.bus.client import Bus
from shared.bus.failures import NoResponders
from shared.contract import subjects as on
from shared.contract.errors import RequestError
from shared.contract.following import FollowChats, ListPositions, ReadVisible
from shared.contract.search import SearchMessages
from shared.contract.session import GetMembership, ListChats
from shared.database import Database
from shared.settings import Settings
from shared.settings.messages import SearchSettings
from shared.settings.servers import OpsSettings
from tests.support.ops_port import ops_get
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.search.peers import ANN, ROOM, Peers


@asynccontextmanager
async def peers_on(server: NatsServer, database: Database, directory: Path) -> AsyncIterator[tuple[Peers, Bus]]:
    """Yields the message service, the session service and an edge."""
    peers = Peers(database, directory)
    message, session, edge = (Bus(server.settings(name), name, CollectorRegistry()) for name in _PEERS)
    message.serve(ListPositions.route, peers.feed.positions, queue="message")
    message.serve(FollowChats.route, peers.news, queue="message")
    message.serve(ReadVisible.route, peers.feed.visible, queue="message")
    session.serve(ListChats.route, peers.session.list_chats, queue="session")
    session.serve(GetMembership.route, peers.session.membership, queue="session")
    for bus in (message, session, edge):
        await bus.start()
    announcing = asyncio.create_task(MovedAnnouncer(message.publish, peers.store, "message-1").run())
    yield peers, edge
    announcing.cancel()
    for bus in (edge, session, message):
        await bus.stop()
    await peers.close()


_PEERS = ("message", "session", "edge")


@asynccontextmanager
async def replica(settings: Settings) -> AsyncIterator[None]:
    """Runs a replica, and yields when it is ready."""
    stopping = asyncio.Event()
    running = asyncio.create_task(serve(settings, stopping))
    async with asyncio.timeout(WAIT_SECONDS):
        while (await ops_get(settings, "/readyz"))[0] != 200:
            await asyncio.sleep(0.02)
    yield
    stopping.set()
    await running


def settings_of(server: NatsServer, directory: Path, enabled: bool = True) -> Settings:
    return Settings(
        nats=server.settings("search"),
        search=SearchSettings(enabled=enabled, directory=directory),
        ops=OpsSettings(port=free_port()),
    )


async def until_found(edge: Bus, number: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while len((await edge.send(SearchMessages("apple", actor=ANN, count=50), retry=True)).hits) != number:
            await asyncio.sleep(0.02)


async def searches_of(settings: Settings) -> int:
    _, shown = await ops_get(settings, "/metrics")
    found = re.search(r"^dragoman_search_find_seconds_count (\d+)", shown, re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_each_replica_has_a_whole_index_and_they_share_the_searches(
    nats_server: NatsServer, database: Database, tmp_path: Path
) -> None:
    first, second = (settings_of(nats_server, tmp_path / name) for name in ("first", "second"))
    async with peers_on(nats_server, database, tmp_path / "unused") as (peers, edge):
        await peers.post(ROOM, "apple 1", "apple 2")
        async with replica(first):
            await until_found(edge, 2)
            async with replica(second):
                await peers.post(ROOM, "apple 3")
                async with asyncio.timeout(WAIT_SECONDS):
                    while not (await searches_of(first) and await searches_of(second)):
                        await edge.send(SearchMessages("apple", actor=ANN), retry=True)
                await until_found(edge, 3)
            await peers.post(ROOM, "apple 4")
            await until_found(edge, 4)
        async with replica(second):
            await until_found(edge, 4)


async def test_a_lone_replica_answers_while_it_makes_its_index(
    nats_server: NatsServer, database: Database, tmp_path: Path
) -> None:
    """While its index is incomplete, a replica replies only on the subject for such replicas."""
    async with peers_on(nats_server, database, tmp_path / "unused") as (peers, edge):
        await peers.post(ROOM, "apple 1")
        peers.is_away, search = True, SearchMessages("apple", actor=ANN)
        async with replica(settings_of(nats_server, tmp_path / "first")):
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    with suppress(RequestError):
                        page = await edge.request(on.SEARCH_INCOMPLETE, search)
                        break
            assert (page.hits, page.indexed_to) == ([], 0)
            with pytest.raises(NoResponders):
                await edge.send(search, wait_for_service=False)
            peers.is_away = False
            await until_found(edge, 1)
            assert len((await edge.request(on.SEARCH_INCOMPLETE, search)).hits) == 1


async def test_switched_off_it_shows_only_that_it_is(nats_server: NatsServer, tmp_path: Path) -> None:
    """If the process ended, it would be restarted again and again."""
    settings = settings_of(nats_server, tmp_path, enabled=False)
    async with replica(settings):
        status, shown = await ops_get(settings, "/readyz")
        assert status == 200
        assert "switched off" in shown


@pytest.fixture(autouse=True)
async def fresh_nats(nats_server: NatsServer) -> None:
    await nats_server.make_fresh()
