"""One elected edge removes the accounts of dead nodes from presence. If it dies, another edge continues."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from redis.exceptions import RedisError

from services.edge.presence import lease
from services.edge.presence.lease import Sweeper
from shared.contract.ids import AccountId, NodeId
from shared.presence.scripts import SHARDS, Command
from shared.presence.store import Presence
from tests.support.servers import ValkeyServer
from tests.support.waiting import WAIT_SECONDS

FIRST, SECOND, DEAD = NodeId("first"), NodeId("second"), NodeId("dead")
LEASE_SECONDS = 0.5
ACCOUNTS = [AccountId(number) for number in range(1, 20_001)]


class SweepingPresence(Presence):
    """A presence that counts the pages that it reads. It stops before page `stops_at`, as if it were killed."""

    def __init__(self, server: ValkeyServer, stops_at: int | None = None) -> None:
        super().__init__(server.settings("edge"))
        self.pages = 0
        self.stopped = asyncio.Event()
        self.fails = False
        self._stops_at = stops_at
        self._execute_commands = self._round_trips.execute
        self._round_trips.execute = self._counted  # type: ignore[method-assign]

    async def _counted(self, commands: Iterable[Command]) -> list[Any]:
        questions = list(commands)
        if self.fails:
            raise RedisError
        if questions[0][0] == "HSCAN":
            if self.pages == self._stops_at:
                self.stopped.set()
                await asyncio.Event().wait()
            self.pages += 1
        return await self._execute_commands(questions)


@pytest.fixture
async def dead_node(valkey_server: ValkeyServer) -> AsyncIterator[Presence]:
    """A presence with accounts of a dead node."""
    presence = Presence(valkey_server.settings("edge"))
    for start in range(0, len(ACCOUNTS), 1000):
        await presence.join(DEAD, ACCOUNTS[start : start + 1000])
    yield presence
    await presence.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_PAUSE_SECONDS", 0.0)


async def until_swept(presence: Presence) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while any(mark is not None for mark in await presence.marks(DEAD)):
            await asyncio.sleep(0.05)


async def test_another_edge_finishes_when_the_elected_one_dies_half_way(
    valkey_server: ValkeyServer, dead_node: Presence
) -> None:
    first = SweepingPresence(valkey_server, stops_at=SHARDS // 2 * 2)
    second = SweepingPresence(valkey_server)
    dying = asyncio.create_task(Sweeper(first, FIRST, LEASE_SECONDS).run())
    await first.stopped.wait()
    assert not await Sweeper(second, SECOND, LEASE_SECONDS).sweep()
    assert second.pages == 0, "the lease of the first edge has not ended"
    dying.cancel()
    await asyncio.wait([dying])
    successor = asyncio.create_task(Sweeper(second, SECOND, LEASE_SECONDS).run())
    await until_swept(dead_node)
    assert set((await dead_node.nodes(ACCOUNTS)).values()) == {()}
    assert first.pages > 0
    assert second.pages >= SHARDS
    successor.cancel()
    await asyncio.wait([successor])
    await first.close()
    await second.close()


async def test_an_edge_that_is_no_longer_elected_stops(valkey_server: ValkeyServer, dead_node: Presence) -> None:
    first = SweepingPresence(valkey_server)
    sweeping = Sweeper(first, FIRST, LEASE_SECONDS)
    stolen = asyncio.Event()

    async def elect_once(_node: NodeId, _seconds: float) -> bool:
        elected = not stolen.is_set()
        stolen.set()
        return elected

    first.elect_sweeper = elect_once  # type: ignore[assignment]
    assert not await sweeping.sweep()
    assert first.pages == 1
    await first.close()


async def test_after_a_whole_sweep_no_edge_sweeps_for_a_while(
    valkey_server: ValkeyServer, dead_node: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SweepingPresence(valkey_server)
    assert await Sweeper(dead_node, FIRST, LEASE_SECONDS).sweep()
    await until_swept(dead_node)
    await asyncio.sleep(LEASE_SECONDS * 1.5)
    assert not await Sweeper(other, SECOND, LEASE_SECONDS).sweep()
    monkeypatch.setattr(lease, "_REST_SECONDS", 0.1)
    assert await Sweeper(dead_node, FIRST, LEASE_SECONDS).sweep()
    await asyncio.sleep(0.2)
    assert await Sweeper(other, SECOND, LEASE_SECONDS).sweep()
    await other.close()


async def test_a_sweeper_survives_an_outage_of_redis(valkey_server: ValkeyServer, dead_node: Presence) -> None:
    presence = SweepingPresence(valkey_server)
    presence.fails = True
    running = asyncio.create_task(Sweeper(presence, FIRST, 0.05).run())
    await asyncio.sleep(0.2)
    assert not running.done()
    presence.fails = False
    await until_swept(dead_node)
    running.cancel()
    await asyncio.wait([running])
    await presence.close()
