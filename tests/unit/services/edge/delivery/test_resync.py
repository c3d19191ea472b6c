"""After any loss (of envelopes, notices, Redis, the lease, NATS) all accounts have what the message service has."""

import asyncio

import pytest

from shared.contract.edge import Envelope
from shared.contract.ids import NodeId
from shared.contract.message import Sync
from shared.presence import Presence
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient


def drop_envelope(node: NodeId, envelope: Envelope) -> list[Envelope]:
    return []


def pass_envelope(node: NodeId, envelope: Envelope) -> list[Envelope]:
    return [envelope]


async def log_in(town: EdgeCluster, *accounts: int) -> list[EdgeClient]:
    devices = [await town.client(account) for account in accounts]
    for device in devices:
        await device.until_synced()
    return devices


async def test_every_chat_of_every_account_is_compared(town: EdgeCluster) -> None:
    edge = await town.add_edge()
    town.backend.chats_per_page = 2
    accounts = range(1, 21)
    for account in accounts:
        for chat in range(5):
            town.backend.add_chat(account * 10 + chat, account, 99)
    devices = await log_in(town, *accounts)
    town.message.on_envelope = drop_envelope
    for account in accounts:
        for chat in range(5):
            await town.message.send_texts(account * 10 + chat, 99, "a", "b")
    town.message.on_envelope = pass_envelope
    edge.resync.mark_stale("a test")
    for account, device in zip(accounts, devices, strict=True):
        for chat in range(5):
            await device.until_texts(account * 10 + chat, "a", "b")


async def test_only_stale_accounts_are_synced(town: EdgeCluster) -> None:
    edge = await town.add_edge()
    town.backend.add_chat(7, 1, 2, 3)
    await log_in(town, 1, 2, 3)
    requests = len(town.message.requests_of(Sync))
    (account,) = (account for account in edge.accounts.by_account if account == 2)
    edge.resync.mark_stale("a test", [account])
    await town.message.until_requested(Sync, requests + 1)
    assert [request.account for request in town.message.requests_of(Sync)[requests:]] == [2]
    assert town.message.requests_of(Sync)[requests].known == [7]


@pytest.mark.parametrize("others", [[], [2]])
async def test_a_chat_without_notice_and_envelopes_is_discovered(town: EdgeCluster, others: list[int]) -> None:
    """Other local members may have received everything."""
    edge = await town.add_edge()
    town.backend.add_chat(7, 2, 3)
    (alice, *rest) = await log_in(town, 1, *others)
    second = await town.client(1)
    await second.until_synced()
    town.session.silent = True
    await town.session.join(7, 1)

    def not_for_alice(node: NodeId, envelope: Envelope) -> list[Envelope]:
        return [town.message.without(envelope, 1)]

    town.message.on_envelope = not_for_alice
    await town.message.send_texts(7, 3, "a", "b")
    for device in rest:
        await device.until_texts(7, "a", "b")
    town.message.on_envelope = pass_envelope
    edge.resync.mark_stale("a test")
    for device in (alice, second):
        await device.until_texts(7, "a", "b")
        assert device.events == [("ChatJoined", 7)]
    await town.message.send_texts(7, 3, "c")
    for device in (alice, second, *rest):
        await device.until_texts(7, *"abc")


async def test_a_chat_that_the_account_has_left_is_forgotten(town: EdgeCluster) -> None:
    edge = await town.add_edge()
    town.backend.add_chat(7, 1, 2)
    await log_in(town, 1)
    town.session.silent = True
    await town.session.leave(7, 1)
    requests = len(town.message.requests_of(Sync))
    edge.resync.mark_stale("a test")
    await town.message.until_requested(Sync, requests + 1)
    async with asyncio.timeout(5):
        while len(edge.chats):
            await asyncio.sleep(0.005)
    assert [local.chats for local in edge.accounts.by_account.values()] == [set()]


async def test_new_messages_during_a_resync_come_once(town: EdgeCluster) -> None:
    edge = await town.add_edge()
    town.backend.add_chat(7, 1, 2)
    (alice,) = await log_in(town, 1)
    await town.message.send_texts(7, 2, "a")
    await alice.until_texts(7, "a")
    gate = town.message.block(Sync)
    requests = len(town.message.requests_of(Sync))
    edge.resync.mark_stale("a test")
    await town.message.until_requested(Sync, requests + 1)
    await town.session.create(8, 2, 1)
    await town.message.send_texts(8, 2, "new")
    await town.message.send_texts(7, 2, "b")
    await alice.until_texts(8, "new")
    gate.set()
    await town.message.send_texts(7, 2, "c")
    await alice.until_texts(7, *"abc")
    assert alice.texts(8) == ["new"]
    assert alice.events == [("ChatJoined", 8)]


async def test_a_resync_waits_for_an_unreachable_service(town: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.bus.client._ATTEMPT_SECONDS", 0.2)
    edge = await town.add_edge()
    town.backend.add_chat(7, 1, 2)
    (alice,) = await log_in(town, 1)
    await town.message.stop()
    town.backend.commit_texts(7, 2, "a")
    edge.resync.mark_stale("a test")
    await asyncio.sleep(0.4)
    await town.add_message_replica()
    await alice.until_texts(7, "a")


async def test_a_reconnect_of_the_bus_syncs_all_accounts(town: EdgeCluster) -> None:
    await town.add_edge()
    town.backend.add_chat(7, 1, 2)
    (alice,) = await log_in(town, 1)
    town.backend.commit_texts(7, 2, "a")
    town.nats.restart()
    await alice.until_texts(7, "a")


# Presence


async def test_a_lost_lease_registers_and_syncs_all_accounts(town: EdgeCluster) -> None:
    edge = await town.add_edge()
    town.backend.add_chat(7, 1, 2)
    (alice,) = await log_in(town, 1)
    await edge.lease.beat()
    assert edge.context.metrics.presence_lost._value.get() == 0
    town.valkey.flush()
    town.backend.commit_texts(7, 2, "a")
    await edge.lease.beat()
    await alice.until_texts(7, "a")
    assert await town.nodes_of(1) == [edge.id]
    assert edge.context.metrics.presence_lost._value.get() == 1


async def test_a_node_comes_back_after_its_lease_expired(town: EdgeCluster) -> None:
    """The node was frozen, its lease has expired, and its entries were swept."""
    edge = await town.add_edge(lease_seconds=1000.0)
    town.backend.add_chat(7, 1, 2)
    (alice,) = await log_in(town, 1)
    await edge.lease.beat()
    await edge.lease.release()
    sweeper = Presence(town.valkey.settings("edge"))
    assert sum([await sweeper.sweep(shard) for shard in range(16)]) == 1
    await sweeper.close()
    assert await town.nodes_of(1) == []
    town.backend.commit_texts(7, 2, "a")
    await edge.lease.beat()
    await alice.until_texts(7, "a")
    assert await town.nodes_of(1) == [edge.id]


async def test_a_login_without_redis(town: EdgeCluster) -> None:
    edge = await town.add_edge(lease_seconds=1000.0)
    town.backend.add_chat(7, 1, 2)
    await edge.lease.beat()
    town.valkey.kill()
    alice = await town.client(1)
    await alice.until_synced()
    await town.message.send_texts(7, 2, "a")
    await alice.until_texts(7, "a")
    town.valkey.start()
    town.backend.commit_texts(7, 2, "b")
    await edge.lease.beat()
    await alice.until_texts(7, "a", "b")
    assert await town.nodes_of(1) == [edge.id]
