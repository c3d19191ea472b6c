"""After any loss, all accounts have the messages that the message service has.

The loss may be of delivery batches, events, Redis, the lease, or NATS.
"""

import asyncio

import pytest

from services.edge.app import Edge
from services.edge.canonical.events import ChatJoined, MessageChanged
from shared.contract.edge import ChangeDelivery
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChangeKind, GetChanges, MessageChange, Sync, Synced
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.delivery.test_local_chats import BOB, NotifiedRecipient


async def test_every_chat_of_every_account_is_compared(cluster: EdgeCluster, edge: Edge) -> None:
    cluster.backend.chats_per_page = 2
    accounts = range(1, 11)
    for account in accounts:
        for chat in range(5):
            cluster.backend.add_chat(account * 10 + chat, account, 99)
    devices = await cluster.synced_clients(*accounts)
    for account in accounts:
        for chat in range(5):
            await cluster.message.send_texts(account * 10 + chat, 99, "a", "b", lost=True)
    edge.resync.mark_stale("a test")
    for account, device in zip(accounts, devices, strict=True):
        for chat in range(5):
            await device.until_texts(account * 10 + chat, "a", "b")


async def test_only_stale_accounts_are_synced(cluster: EdgeCluster, edge: Edge) -> None:
    cluster.backend.add_chat(7, 1, 2, 3)
    await cluster.synced_clients(1, 2, 3)
    requests = len(cluster.message.requests_of(Sync))
    (account,) = (account for account in edge.accounts.by_account if account == 2)
    edge.resync.mark_stale("a test", [account])
    await cluster.message.until_requested(Sync, requests + 1)
    assert [request.account for request in cluster.message.requests_of(Sync)[requests:]] == [2]
    assert cluster.message.requests_of(Sync)[requests].known == [7]


async def test_a_change_is_pushed_after_its_announcement_was_lost(cluster: EdgeCluster, edge: Edge) -> None:
    """The change is pushed to every account. A change that was announced is not requested."""
    for chat in (7, 8):
        cluster.backend.add_chat(chat, 1, 2)
    await cluster.synced_clients(1, 2)
    recipients = [NotifiedRecipient(99), NotifiedRecipient(98)]
    for account, recipient in enumerate(recipients, 1):
        edge.accounts.attach(AccountId(account), recipient, 0.0)
    for chat in (ChatId(7), ChatId(8)):
        cluster.backend.chats[chat].rev += 1
    edge.chats.notify_changed(ChangeDelivery(MessageChange(ChatId(8), 6, 1, ChangeKind.RECALL, BOB, 0), []), None)
    edge.resync.mark_stale("a test")
    await cluster.message.until_requested(GetChanges, 2)
    await until(lambda: all(one.events for one in recipients))
    for recipient in recipients:
        changes = [event.shown.change for event in recipient.events if isinstance(event, MessageChanged)]
        assert [(change.chat, change.rev) for change in changes] == [(7, 6)]
    assert {request.after for request in cluster.message.requests_of(GetChanges)} == {5}


async def test_an_account_that_returns_while_changes_are_requested_stays(cluster: EdgeCluster, edge: Edge) -> None:
    for chat in (7, 8):
        cluster.backend.add_chat(chat, 1, 2)
    (alice,) = await cluster.synced_clients(1)
    cluster.session.silent = True
    await cluster.session.leave(8, 1)
    cluster.session.silent = False
    cluster.backend.chats[ChatId(7)].rev += 1
    gate = cluster.message.block(GetChanges)
    edge.resync.mark_stale("a test")
    await cluster.message.until_requested(GetChanges, 1)
    await alice.until_event("ChatLeft", 8)
    await cluster.session.join(8, 1)
    await alice.until_event("ChatJoined", 8)
    gate.set()
    await until(lambda: not edge.resync.compares(AccountId(1)))
    await cluster.message.send_texts(8, 2, "a")
    await alice.until_texts(8, "a")
    assert alice.events.count(("ChatLeft", 8)) == 1


@pytest.mark.parametrize("others", [[], [2]])
async def test_a_chat_without_event_and_batches_is_discovered(cluster: EdgeCluster, others: list[int]) -> None:
    """The edge's other members may have received everything."""
    edge = await cluster.add_edge()
    cluster.backend.add_chat(7, 2, 3)
    (alice, *rest) = await cluster.synced_clients(1, *others)
    second = await cluster.client(1)
    await second.until_synced()
    recipient = NotifiedRecipient(99)
    edge.accounts.attach(AccountId(1), recipient, 0.0)
    await cluster.message.send_texts(7, 3, "before")
    cluster.session.silent = True
    await cluster.session.join(7, 1)
    await cluster.message.send_texts(7, 3, "a", "b", without=1)
    for device in rest:
        await device.until_texts(7, "before", "a", "b")
    edge.resync.mark_stale("a test")
    for device in (alice, second):
        await device.until_texts(7, "a", "b")
        assert device.events == [("ChatJoined", 7)]
    assert recipient.events == [ChatJoined(ChatId(7), head=3, first=2, rev=5)]
    await cluster.message.send_texts(7, 3, "c")
    for device in (alice, second):
        await device.until_texts(7, *"abc")


async def test_a_chat_that_the_account_has_left_is_forgotten(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    edge = cluster.edges[0]
    cluster.session.silent = True
    await cluster.session.leave(7, 1)
    requests = len(cluster.message.requests_of(Sync))
    edge.resync.mark_stale("a test")
    await cluster.message.until_requested(Sync, requests + 1)
    await until(lambda: not len(edge.chats))
    assert [local.chats for local in edge.accounts.by_account.values()] == [set()]
    await alice.until_event("ChatLeft", 7)


async def test_new_messages_during_a_resync_come_once(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    await cluster.push(2, "a", to=alice)
    gate = cluster.message.block(Sync)
    requests = len(cluster.message.requests_of(Sync))
    cluster.edges[0].resync.mark_stale("a test")
    await cluster.message.until_requested(Sync, requests + 1)
    await cluster.session.create(8, 2, 1)
    await cluster.message.send_texts(8, 2, "new")
    await cluster.message.send_texts(7, 2, "b")
    await alice.until_texts(8, "new")
    gate.set()
    await cluster.message.send_texts(7, 2, "c")
    await alice.until_texts(7, *"abc")
    assert alice.texts(8) == ["new"]
    assert alice.events == [("ChatJoined", 8)]


async def test_a_resync_waits_for_an_unreachable_service(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.bus.request_sender.MOST_SECONDS", 0.2)
    (alice,) = await cluster.chat(1, 2, online=[1])
    await cluster.message.stop()
    cluster.backend.commit_texts(7, 2, "a")
    cluster.edges[0].resync.mark_stale("a test")
    await asyncio.sleep(0.4)
    await cluster.add_message_replica()
    await alice.until_texts(7, "a")


async def test_an_account_that_cannot_be_synced_delays_no_other(
    cluster: EdgeCluster, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All workers compare such accounts.

    After its logout, such an account is forgotten.
    """
    monkeypatch.setattr("services.edge.delivery.resync._WORKERS", 1)
    for chat, account in ((7, 1), (8, 2)):
        cluster.backend.add_chat(chat, account, 99)
    alice, bob = await cluster.synced_clients(1, 2)
    sync, failures = cluster.backend.sync, list[Sync]()

    def failing(request: Sync) -> Synced:
        if request.account == 1:
            failures.append(request)
            raise RequestError(ErrorCode.INTERNAL, "a test")
        return sync(request)

    monkeypatch.setattr(cluster.backend, "sync", failing)
    synced = edge.context.metrics.resyncs._value.get()
    edge.resync.mark_stale("a test", [AccountId(1)])
    await until(lambda: bool(failures))
    await cluster.message.send_texts(8, 99, "a", lost=True)
    edge.resync.mark_stale("a test", [AccountId(2)])
    await bob.until_texts(8, "a")
    assert edge.resync.compares(AccountId(1))
    await until(lambda: edge.context.metrics.resyncs._value.get() == synced + 1)
    alice.socket.leave()
    await until(lambda: not edge.resync.compares(AccountId(1)))


async def test_a_reconnect_of_the_bus_syncs_all_accounts(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    cluster.backend.commit_texts(7, 2, "a")
    cluster.nats.restart()
    await alice.until_texts(7, "a")


async def test_a_lost_lease_registers_and_syncs_all_accounts(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    edge = cluster.edges[0]
    await edge.lease.beat()
    assert edge.context.metrics.presence_lost._value.get() == 0
    cluster.valkey.flush()
    cluster.backend.commit_texts(7, 2, "a")
    await edge.lease.beat()
    await alice.until_texts(7, "a")
    assert await cluster.nodes_of(1) == [edge.id]
    assert edge.context.metrics.presence_lost._value.get() == 1


async def test_a_login_without_redis(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(lease_seconds=1000.0)
    cluster.backend.add_chat(7, 1, 2)
    await edge.lease.beat()
    cluster.valkey.kill()
    alice = await cluster.client(1)
    await alice.until_synced()
    await cluster.push(2, "a", to=alice)
    cluster.valkey.start()
    cluster.backend.commit_texts(7, 2, "b")
    await edge.lease.beat()
    await alice.until_texts(7, "a", "b")
    assert await cluster.nodes_of(1) == [edge.id]
