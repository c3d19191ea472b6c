"""Presence in a real Redis Cluster: nodes that lose their data, freeze, or give a slot to another one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis import Redis

from services.cli.process_group import ProcessGroup
from shared import presence
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.presence import Presence
from shared.presence_scripts import SHARDS, shard_key
from tests.support.valkey_cluster import ValkeyCluster, ValkeyClusterNode
from tests.support.waiting import WAIT_SECONDS, until

A = NodeId("edge-1.a")
ACCOUNTS = [AccountId(number) for number in range(1, SHARDS + 1)]
"""One account of each shard."""
THERE = {account: (A,) for account in ACCOUNTS}
KEY = shard_key(1)

Open = Callable[[str], Presence]


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation is believed at once, and a failure delays nothing."""
    monkeypatch.setattr(presence, "_TRUST_SECONDS", 0.0)
    monkeypatch.setattr(presence, "_BROKEN_SECONDS", 0.0)


@pytest.fixture
async def open_for(valkey_cluster: ValkeyCluster) -> AsyncIterator[Open]:
    """The presence of a service, whose calls take a second at most."""
    opened: list[Presence] = []

    def open_one(service: str) -> Presence:
        settings = valkey_cluster.settings(service).model_copy(update={"timeout_seconds": 1.0})
        opened.append(Presence(settings))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()


async def registered(edge: Presence) -> None:
    await edge.beat(A, 60)
    await edge.join(A, ACCOUNTS)


@pytest.mark.parametrize("number", range(3))
async def test_a_node_that_loses_its_data_makes_presence_unknown(
    number: int, valkey_cluster: ValkeyCluster, open_for: Open
) -> None:
    """Of all accounts: it may have had the lease of a node with accounts elsewhere."""
    edge, message = open_for("edge"), open_for("message")
    await registered(edge)
    assert (await message.lookup(ACCOUNTS)).nodes == THERE
    await asyncio.to_thread(valkey_cluster.nodes[number].flush)
    for account in ACCOUNTS:
        assert (await message.lookup([account])).nodes is None
    await edge.join(A, ACCOUNTS)
    assert edge.has_lost_state
    await registered(edge)
    assert (await message.lookup(ACCOUNTS)).nodes == THERE
    assert message.losses == 1


async def test_a_node_that_is_away_fails_no_lookup(valkey_cluster: ValkeyCluster, open_for: Open) -> None:
    """It comes back without its data."""
    edge, message = open_for("edge"), open_for("message")
    await registered(edge)
    node = valkey_cluster.node_of(KEY)
    await asyncio.to_thread(node.kill)
    assert (await message.lookup(ACCOUNTS, [ChatId(1)])).nodes is None
    await asyncio.to_thread(node.start)
    await asyncio.to_thread(valkey_cluster.wait_until_whole)
    await registered(edge)
    assert (await message.lookup(ACCOUNTS)).nodes == THERE


async def test_a_frozen_node_costs_the_time_out(valkey_cluster: ValkeyCluster, open_for: Open) -> None:
    edge, message = open_for("edge"), open_for("message")
    await registered(edge)
    node = valkey_cluster.node_of(KEY)
    node.pause()
    assert (await message.lookup(ACCOUNTS)).nodes is None
    node.resume()
    await asyncio.to_thread(valkey_cluster.wait_until_whole)
    assert (await message.lookup(ACCOUNTS)).nodes == THERE


async def test_a_slot_moves_while_lookups_go_on(valkey_cluster: ValkeyCluster, open_for: Open) -> None:
    edge, message = open_for("edge"), open_for("message")
    await registered(edge)
    source = valkey_cluster.node_of(KEY)
    target = next(one for one in valkey_cluster.nodes if one is not source)
    for here, there in ((source, target), (target, source)):
        await _move(here, there, message)
        assert (await edge.join(A, ACCOUNTS)) == {account: [] for account in ACCOUNTS}
        assert await edge.marks(A) == [mark for mark in await edge.marks(A) if mark is not None]


async def _move(source: ValkeyClusterNode, target: ValkeyClusterNode, message: Presence) -> None:
    """The slot of KEY, in steps; presence is known after each."""
    slot = int(source.perform("CLUSTER", "KEYSLOT", KEY))
    there, here = target.id, source.id
    target.perform("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
    source.perform("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
    assert (await message.lookup(ACCOUNTS)).nodes == THERE
    with Redis.from_url(source.keeper_url, decode_responses=True) as keeper:
        for key in keeper.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.migrate(key, target)
            assert (await message.lookup(ACCOUNTS)).nodes == THERE
    for node in (target, source):
        node.perform("CLUSTER", "SETSLOT", slot, "NODE", there)
    await until(lambda: there in target.perform("CLUSTER", "NODES"))
    assert (await message.lookup(ACCOUNTS)).nodes == THERE


async def test_versions_are_spread_over_the_nodes(open_for: Open) -> None:
    session = open_for("session")
    versions = {ChatId(number): number for number in range(1, 2 * SHARDS)}
    await session.publish_versions(versions)
    assert (await session.lookup(chats=versions)).versions == versions


async def test_a_dead_node_is_swept_from_all_shards(open_for: Open) -> None:
    edge = open_for("edge")
    await registered(edge)
    await edge.release_lease(A)
    assert sum([removed for shard in range(SHARDS) async for removed in edge.sweep(shard)]) == len(ACCOUNTS)
    assert await edge.nodes(ACCOUNTS) == {account: () for account in ACCOUNTS}
    assert await edge.marks(A) == [None] * SHARDS


async def test_a_replica_takes_over(tmp_path: Path, process_group: ProcessGroup) -> None:
    """The node of the URL dies; its replica has what it had."""
    cluster = ValkeyCluster(tmp_path / "cluster", process_group)
    await asyncio.to_thread(cluster.start)
    primary, *others = cluster.nodes
    replica = ValkeyClusterNode(tmp_path / "replica", process_group, primary)
    await asyncio.to_thread(replica.start)
    replica.meet(primary)
    await until(lambda: primary.id in replica.perform("CLUSTER", "NODES"))
    await until(lambda: all(replica.id in node.perform("CLUSTER", "NODES") for node in cluster.nodes))
    replica.perform("CLUSTER", "REPLICATE", primary.id)
    edge, message = (Presence(cluster.settings(service)) for service in ("edge", "message"))
    await registered(edge)
    assert (await message.lookup(ACCOUNTS)).nodes == THERE
    await until(primary.is_replicated)
    await asyncio.to_thread(primary.kill)
    await until(lambda: all("cluster_state:ok" in node.perform("CLUSTER", "INFO") for node in (*others, replica)))
    async with asyncio.timeout(WAIT_SECONDS):
        while (await message.lookup(ACCOUNTS)).nodes != THERE:
            await asyncio.sleep(0.05)
    assert await edge.marks(A) == [mark for mark in await edge.marks(A) if mark is not None]
    assert message.losses == 0
    for one in (edge, message):
        await one.close()
    for node in (*others, replica):
        node.stop()
