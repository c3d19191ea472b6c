"""The lease repairs presence: after a failover to a replica, after a failed first beat, and when one edge has lost
Redis.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.exceptions import RedisError

from local import valkey
from local.process_group import ProcessGroup
from services.edge.app import Edge
from services.edge.metrics import EdgeMetrics
from services.edge.presence.announcer import PresenceAnnouncer
from services.edge.presence.lease import BEATS_PER_LEASE, Lease
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.edge import DeliveryBatch, PresenceIncomplete
from shared.contract.ids import AccountId, NodeId
from shared.presence.scripts import Command
from shared.presence.store import Presence
from shared.settings.limits import LimitsSettings
from shared.settings.servers import RedisSettings
from tests.support.proxy import TcpProxy
from tests.support.servers import ValkeyServer
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.presence.test_local_accounts import (
    GatedPresence,
    NullRecipient,
    nodes_of,
    silent_announcer,
)

HERE, THERE = NodeId("here"), NodeId("there")
ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(17)
"""The accounts 1 and 17 are in the same shard of presence."""


class LeasedNode:
    """An edge's accounts and its lease, without clients. `stale` are the accounts that would be synced again."""

    def __init__(self, presence: Presence) -> None:
        self.accounts = LocalAccounts(HERE, presence, LimitsSettings(), silent_announcer(HERE))
        self.stale: list[AccountId] = []
        metrics = EdgeMetrics(CollectorRegistry())
        self.lease = Lease(presence, HERE, self.accounts, self._mark_stale, 10.0, metrics, silent_announcer(HERE))

    def _mark_stale(self, _reason: str, accounts: Collection[AccountId]) -> None:
        self.stale += accounts

    async def log_in(self, account: AccountId) -> None:
        await self.accounts.register(account)
        self.accounts.attach(account, NullRecipient(), 0.0)

    async def log_out(self, account: AccountId) -> None:
        local = self.accounts.by_account[account]
        self.accounts.detach(local, local.recipients[0])
        await self.accounts.leave([account])


@pytest.fixture(autouse=True)
def _trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)


@pytest.fixture
def servers(tmp_path: Path, process_group: ProcessGroup) -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    """A primary server and its replica."""
    # otherwise, the primary would wait five seconds for further replicas
    primary = ValkeyServer(tmp_path / "primary", process_group, b"repl-diskless-sync-delay 0\n")
    replica = ValkeyServer(tmp_path / "replica", process_group, primary=primary)
    primary.start()
    replica.start()
    yield primary, replica
    replica.kill()
    primary.kill()


@pytest.fixture
async def address(servers: tuple[ValkeyServer, ValkeyServer]) -> AsyncIterator[TcpProxy]:
    """An address that always leads to the primary, like the address of an installation with a replica."""
    address = TcpProxy(servers[0].port)
    await address.start()
    yield address
    await address.close()


async def until_replicated(primary: ValkeyServer) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not await asyncio.to_thread(primary.is_replicated):
            await asyncio.sleep(0.05)


async def test_a_replica_that_takes_over_gets_what_it_lacks(
    servers: tuple[ValkeyServer, ValkeyServer], address: TcpProxy
) -> None:
    """It lacks a join and a leave, and another account of the same shard joins before the next beat."""
    primary, replica = servers
    edge, message = (
        Presence(RedisSettings(url=SecretStr(valkey.url(address.port, name, primary.passwords[name]))))
        for name in ("edge", "message")
    )
    node = LeasedNode(edge)
    await node.lease.beat()
    await node.log_in(BOB)
    await until_replicated(primary)
    replica.promote()
    await node.log_in(ANN)
    await node.log_out(BOB)
    assert await nodes_of(message, ANN) == [HERE]
    address.move(replica.port)
    primary.kill()
    with suppress(AssertionError):  # the old connection is closed, so its first use fails
        await nodes_of(message, BOB)
    await asyncio.sleep(1.1)  # after an error, the message service does not use Redis for a second
    assert [await nodes_of(message, account) for account in (ANN, BOB)] == [[], [HERE]]
    with suppress(RedisError):  # the old connection is closed, so its first use fails
        await edge.marks(HERE)
    await node.log_in(CEM)
    await node.lease.beat()
    assert node.stale == [ANN]
    assert [await nodes_of(message, account) for account in (ANN, BOB, CEM)] == [[HERE], [], [HERE]]
    await edge.close()
    await message.close()


async def test_an_edge_swept_after_its_first_beat_failed_registers_again(
    valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, other = Presence(valkey_server.settings("edge")), Presence(valkey_server.settings("edge"))
    node = LeasedNode(edge)
    await other.beat(THERE, 10)
    with monkeypatch.context() as patch:
        cut_off(edge, patch)
        with pytest.raises(RedisError):
            await node.lease.beat()
    await node.log_in(ANN)
    assert [removed async for removed in other.sweep(1)] == [1]
    assert await nodes_of(other, ANN) == []
    await node.lease.beat()
    assert node.stale == [ANN]
    assert await nodes_of(other, ANN) == [HERE]
    await edge.close()
    await other.close()


async def test_after_an_expired_lease_all_accounts_are_synced(valkey_server: ValkeyServer) -> None:
    """Other processes treated the edge as dead, even if none has removed its accounts from presence."""
    presence = Presence(valkey_server.settings("edge"))
    node = LeasedNode(presence)
    await node.lease.beat()
    await node.log_in(ANN)
    await presence.release_lease(HERE)
    await node.lease.beat()
    assert node.stale == [ANN]
    assert await nodes_of(presence, ANN) == [HERE]
    await presence.close()


async def test_presence_is_incomplete_while_a_login_of_an_unregistered_account_fails(
    valkey_server: ValkeyServer,
) -> None:
    """The beat does not register an account while a login registers it."""
    announced: list[int] = []

    async def publish(_subject: str, data: bytes) -> None:
        announced.append(msgspec.msgpack.decode(data, type=PresenceIncomplete).milliseconds)

    presence, announcer = GatedPresence(valkey_server), PresenceAnnouncer(publish, HERE, 10.0)
    presence.broken = True
    accounts = LocalAccounts(HERE, presence, LimitsSettings(), announcer)
    lease = Lease(presence, HERE, accounts, lambda *_: None, 10.0, EdgeMetrics(CollectorRegistry()), announcer)
    await lease.beat()
    await accounts.register(ANN)
    accounts.attach(ANN, NullRecipient(), 0.0)
    presence.gate.clear()
    second_login = asyncio.create_task(accounts.register(ANN))
    await asyncio.sleep(0)
    beating = asyncio.create_task(lease.beat())
    await asyncio.sleep(0.1)
    presence.gate.set()
    await asyncio.gather(second_login, beating)
    assert 0 not in announced
    presence.broken = False
    await lease.beat()
    assert announced[-1] == 0
    assert await nodes_of(presence, ANN) == [HERE]
    await accounts.close()
    await presence.close()


async def test_a_beat_without_a_difference_syncs_nothing(valkey_server: ValkeyServer) -> None:
    presence = Presence(valkey_server.settings("edge"))
    node = LeasedNode(presence)
    for _ in range(2):
        await node.lease.beat()
        await node.log_in(ANN)
        await node.log_in(BOB)
        await node.log_out(BOB)
    await node.lease.beat()
    assert node.stale == []
    await presence.close()


def cut_off(presence: Presence, patch: pytest.MonkeyPatch) -> None:
    """From now on, Redis does not reply to the edge with this presence."""

    async def fail(_commands: object) -> list[Command]:
        raise RedisError("partition")

    patch.setattr(presence._round_trips, "execute", fail)


def counted_deliveries(edges: Collection[Edge], patch: pytest.MonkeyPatch) -> Counter[NodeId]:
    """Counts how many messages reach each edge in delivery batches from now on."""
    deliveries: Counter[NodeId] = Counter()

    def count(edge: Edge) -> None:
        receive = edge.receiver.receive_batch

        def counted(data: bytes, subject: str) -> None:
            deliveries[edge.id] += len(msgspec.msgpack.decode(data, type=DeliveryBatch).deliveries)
            receive(data, subject)

        patch.setattr(edge.receiver, "receive_batch", counted)

    for edge in edges:
        count(edge)
    return deliveries


async def test_an_edge_that_alone_lost_redis_is_sent_the_messages_of_its_accounts_alone(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message service can use Redis, so it trusts presence for all other edges."""
    edge, other = await cluster.add_edge(lease_seconds=3.0), await cluster.add_edge()
    idle, third = await cluster.add_edge(), await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.add_chat(8, 2, 3)
    bob, cem = await cluster.client(2, other), await cluster.client(3, third)
    await bob.until_synced()
    await cem.until_synced()
    assert await cluster.nodes_of(2) == [other.id]
    deliveries = counted_deliveries([edge, other, idle, third], monkeypatch)
    with monkeypatch.context() as patch:
        cut_off(edge.presence, patch)
        alice = await cluster.client(1, edge)
        await alice.until_synced()
        assert edge.accounts.presence_unknown
        await cluster.message.send_texts(7, 2, "a")
        await alice.until_texts(7, "a")
        await asyncio.sleep(3.5)  # this is longer than an announcement is valid
        await cluster.message.send_texts(7, 2, "b")
        await alice.until_texts(7, "a", "b")
        assert other.accounts.presence_unknown
        texts = [f"t{number}" for number in range(100)]
        await cluster.message.send_texts(8, 2, *texts)
        await cem.until_texts(8, *texts)
        await bob.until_texts(8, *texts)
    assert deliveries == {edge.id: 2, other.id: 102, third.id: 100}
    await until(lambda: not other.accounts.presence_unknown)
    assert await cluster.nodes_of(1) == [edge.id]
    assert await cluster.nodes_of(2) == [other.id]
    await cluster.message.send_texts(7, 2, "c")
    await alice.until_texts(7, "a", "b", "c")


async def test_after_a_loss_messages_go_to_all_edges_for_two_beats(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile, no message is lost. Afterwards, edges without a recipient get no messages."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 2 * 1.1 / BEATS_PER_LEASE)
    one, other, idle = [await cluster.add_edge(lease_seconds=1.1) for _ in range(3)]
    cluster.backend.add_chat(8, 2, 3)
    await (await cluster.client(2, one)).until_synced()
    cem = await cluster.client(3, other)
    await cem.until_synced()
    assert await cluster.nodes_of(2) == [one.id]
    deliveries, texts = counted_deliveries([one, other, idle], monkeypatch), list[str]()

    async def send_text() -> None:
        texts.append(f"t{len(texts)}")
        await cluster.message.send_texts(8, 2, texts[-1])

    cluster.valkey.flush()
    while (await cluster.message.presence.lookup([AccountId(3)])).nodes is None:
        await send_text()
        await asyncio.sleep(0.02)
    unknown = len(texts)
    for _ in range(20):
        await send_text()
    await cem.until_texts(8, *texts)
    await until(lambda: deliveries[idle.id])
    assert deliveries[idle.id] <= unknown
    assert deliveries[other.id] == len(texts) == unknown + 20


async def test_a_session_that_no_service_had_heard_of_is_synced_within_a_lease(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account is announced too late for a message that is sent at the same moment. Redis stays unavailable."""
    edge = await cluster.add_edge(lease_seconds=2.0)
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cut_off(edge.presence, monkeypatch)
    alice = await cluster.client(1, edge)
    await alice.until_synced()
    cluster.backend.commit_texts(7, 2, "a")
    async with asyncio.timeout(3):
        await alice.until_texts(7, "a")
