"""Members receive each message of their chats once and in order, and other accounts receive none, whatever happens to
delivery batches.
"""

import asyncio
import time

import pytest

from services.edge.app import Edge
from shared.bus.client import pack
from shared.contract.edge import Delivery, Heartbeat
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import Sync, SyncChat
from shared.contract.session import CreateChat
from tests.unit.services.edge.conftest import EdgeCluster


@pytest.mark.parametrize("lost", [[0], [1, 2], [3], [0, 2]])
async def test_a_gap_is_filled_only_for_accounts_that_may_read_it(cluster: EdgeCluster, lost: list[int]) -> None:
    """Carol joined after the gap, and receives none of its messages."""
    alice, carol = await cluster.chat(1, 2, online=[1, 3])
    for number, text in enumerate("abcd"):
        await cluster.message.send_texts(7, 2, text, lost=number in lost)
    await cluster.session.join(7, 3)
    await cluster.message.send_texts(7, 2, "e")
    await alice.until_texts(7, *"abcde")
    await carol.until_texts(7, "e")


async def test_a_gap_of_many_pages(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.messages_per_page = 5
    cluster.backend.add_chat(7, 1, 2)
    (alice,) = await cluster.synced_clients(1)
    texts = [str(number) for number in range(33)]
    await cluster.message.send_texts(7, 2, *texts, lost=True)
    await cluster.message.send_texts(7, 2, "last")
    await alice.until_texts(7, *texts, "last")


async def test_the_loss_of_the_last_batch_is_revealed(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    await cluster.message.send_texts(7, 2, "last", lost=True)
    await alice.until_texts(7, "last")


async def test_the_next_batch_reveals_a_skipped_one_whatever_its_chat(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.add_chat(8, 1, 2)
    (alice,) = await cluster.synced_clients(1)
    cluster.message.beats = False
    await cluster.message.send_texts(8, 2, "first")
    await cluster.message.send_texts(7, 2, "lost", lost=True)
    await cluster.message.send_texts(8, 2, "second")
    async with asyncio.timeout(2):  # the limit is shorter than the time after which silence counts as a loss
        await alice.until_texts(7, "lost")
    await alice.until_texts(8, "first", "second")


async def test_the_silence_of_a_replica_is_a_loss(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.delivery.ordering.SILENCE_SECONDS", 0.4)
    (alice,) = await cluster.chat(1, 2, online=[1])
    await cluster.push(2, "first", to=alice)
    cluster.message.beats = False
    cluster.backend.commit_texts(7, 2, "second")
    await alice.until_texts(7, "first", "second")


async def test_a_replica_is_not_missed_before_its_heartbeats_of_a_freeze_are_read(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge that was frozen reads the heartbeats of all replicas at the same moment."""
    monkeypatch.setattr("services.edge.delivery.ordering.SILENCE_SECONDS", 0.2)
    edge, losses = await cluster.add_edge(), list[str]()
    monkeypatch.setattr(edge.resync, "mark_stale", lambda reason, _accounts=None: losses.append(reason))
    beats = [pack(Heartbeat(replica, 1, {})) for replica in ("one", "two")]
    for beat in beats:
        edge.receiver.receive_heartbeat(beat)
    time.sleep(0.3)  # noqa: ASYNC251 (the freeze)
    for beat in beats:
        edge.receiver.receive_heartbeat(beat)
    assert losses == []


async def test_a_chat_that_cannot_be_read_is_dropped_and_affects_no_other(cluster: EdgeCluster, edge: Edge) -> None:
    for chat in (7, 8):
        cluster.backend.add_chat(chat, 1, 2)
    (alice,) = await cluster.synced_clients(1)
    cluster.message.unreadable.add(ChatId(7))
    cluster.message.on_batch = lambda node, batch: []
    assert await alice.post(7, "into the void") == 1
    cluster.message.on_batch = lambda node, batch: [batch]
    assert edge.chats.sequencer(ChatId(7)) is None
    requests = len(cluster.message.requests_of(SyncChat))
    assert await alice.post(8, "hello") == 1
    assert len(cluster.message.requests_of(SyncChat)) == requests
    # the sender has seen its message by the reply, so the lost batch is not repeated for the sender
    assert edge.read_state.is_waiting(AccountId(1))
    cluster.message.unreadable.clear()
    await cluster.message.send_texts(7, 2, "back again")
    await alice.until_texts(7, "back again")


async def test_a_new_chat_needs_no_request(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.enter(1, 2)
    chat = await alice.request(do="create", members=[1, 2])
    await bob.until_event("ChatJoined", chat)
    assert await bob.post(chat, "hello") == 1
    await alice.until_texts(chat, "hello")
    assert cluster.message.requests_of(SyncChat) == []
    assert alice.events == [("ChatJoined", chat)]


async def test_a_created_chat_is_notified_after_the_reply(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.enter(1, 2)
    gate = cluster.session.block(CreateChat)
    request = alice.send(do="create", members=[1, 2])
    await bob.socket.until(lambda: bob.events != [])
    assert alice.events == []
    gate.set()
    chat = await alice.reply_to(request)
    await alice.until_event("ChatJoined", chat)
    assert alice.seen[-1] == {"event": "ChatJoined", "value": chat}


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_messages_before_the_membership_event_or_without_one(cluster: EdgeCluster, lost: int) -> None:
    """The first delivery batches may also be lost."""
    (alice,) = await cluster.enter(1)
    cluster.session.silent = True
    await cluster.session.create(7, 1, 2)
    for number, text in enumerate("abc"):
        await cluster.message.send_texts(7, 2, text, lost=number < lost)
    await alice.until_texts(7, *"abc")


async def test_an_unannounced_member_receives_messages_lost_before(cluster: EdgeCluster) -> None:
    alice, carol = await cluster.chat(1, 2, online=[1, 3])
    await cluster.message.send_texts(7, 2, "a")
    cluster.session.silent = True
    await cluster.session.join(7, 3)
    await cluster.message.send_texts(7, 2, "b", "c", without=3)
    await cluster.message.send_texts(7, 2, "d")
    await alice.until_texts(7, *"abcd")
    await carol.until_texts(7, *"bcd")


async def test_a_reply_with_an_older_membership_is_requested_again(cluster: EdgeCluster) -> None:
    """The reply has an older version of the member list than the message."""
    (alice,) = await cluster.chat(2, 3, online=[1])
    room = cluster.backend.chats[ChatId(7)]
    cluster.session.silent = True
    await cluster.session.join(7, 1)
    member = room.members.pop(alice.client.connection.account)
    room.version = 1
    (message,) = cluster.backend.commit_texts(7, 2, "a")
    await cluster.message.send_batch(cluster.edges[0].id, [Delivery(message, [alice.client.connection.account], 2)])
    await cluster.message.until_requested(SyncChat)
    room.members[alice.client.connection.account] = member
    room.version = 2
    await alice.until_texts(7, "a")


async def test_a_former_member_receives_nothing(cluster: EdgeCluster) -> None:
    alice, carol = await cluster.chat(1, 2, 3, online=[1, 3])
    await cluster.push(2, "a", to=carol)
    await cluster.session.leave(7, 3)
    await carol.until_event("ChatLeft", 7)
    await cluster.message.send_texts(7, 2, "b", lost=True)
    await cluster.message.send_texts(7, 2, "c")
    await alice.until_texts(7, *"abc")
    assert carol.texts(7) == ["a"]
    assert 3 not in cluster.edges[0].chats.sequencer(7).members  # type: ignore[arg-type,union-attr]


@pytest.mark.parametrize("others", [[], [4]])
@pytest.mark.parametrize("big", [False, True])
async def test_a_member_that_returns_without_an_event_receives_everything_again(
    cluster: EdgeCluster, others: list[int], big: bool
) -> None:
    """The next message shows it if it names its recipients. Otherwise, the next sync does."""
    cluster.message.broadcast_members = 1 if big else 1000
    edge = await cluster.add_edge()
    cluster.backend.add_chat(7, 2, 3, *others)
    (carol, *_) = await cluster.synced_clients(3, *others)
    await cluster.push(2, "a", to=carol)
    assert await edge.read_state.flush()
    await cluster.session.leave(7, 3)
    await carol.until_left(edge, 7)
    cluster.session.silent = True
    await cluster.session.join(7, 3)
    if big:
        requests = len(cluster.message.requests_of(Sync))
        edge.resync.mark_stale("a test")
        await cluster.message.until_requested(Sync, requests + 1)
    await cluster.message.send_texts(7, 2, "b")
    await carol.until_texts(7, "a", "b")


@pytest.fixture
def big(cluster: EdgeCluster) -> EdgeCluster:
    """A cluster in which every chat is broadcast."""
    cluster.message.broadcast_members = 1
    return cluster


@pytest.mark.parametrize("silent", [False, True])
async def test_a_broadcast_reaches_new_members_and_no_former_ones(big: EdgeCluster, silent: bool) -> None:
    """Broadcasts reach new members with and without events of their joins."""
    alice, carol, dave = await big.chat(1, 2, 3, online=[1, 3, 4])
    await big.push(2, "a", to=carol)
    big.session.silent = silent
    await big.session.join(7, 4)
    await big.session.leave(7, 3)
    await big.message.send_texts(7, 2, "b")
    await alice.until_texts(7, "a", "b")
    await dave.until_texts(7, "b")
    assert carol.texts(7) == ["a"]


async def test_the_membership_of_many_accounts_is_requested_in_batches(
    big: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.delivery.gap_filler._ACCOUNTS_PER_REQUEST", 3)
    await big.add_edge()
    accounts = range(1, 12)
    big.backend.add_chat(7, *accounts[:8])
    devices = await big.synced_clients(*accounts)
    await big.message.send_texts(7, 1, "a")
    for device in devices[1:8]:
        await device.until_texts(7, "a")
    assert all(device.texts(7) == [] for device in devices[8:])
    assert max(len(request.accounts) for request in big.message.requests_of(SyncChat)) == 3


async def test_a_login_while_a_gap_is_fetched_receives_the_gap(big: EdgeCluster) -> None:
    (alice,) = await big.chat(1, 2, 3, online=[1])
    await big.push(2, "a", to=alice)
    big.backend.mark_delivered(3, 7, 1, 1)
    requests = len(big.message.requests_of(SyncChat))
    gate = big.message.block(SyncChat)
    await big.message.send_texts(7, 2, "b", lost=True)
    await big.message.send_texts(7, 2, "c")
    await big.message.until_requested(SyncChat, requests + 1)
    carol = await big.client(3)
    gate.set()
    await alice.until_texts(7, *"abc")
    await carol.until_texts(7, "b", "c")


# Slow and failing connections


async def test_a_slow_connection_is_closed_and_delays_no_other(cluster: EdgeCluster) -> None:
    alice, carol = await cluster.chat(1, 2, 3, online=[1, 3], outgoing_bytes=100_000)
    alice.socket.deaf = True
    texts = [str(number) * 20_000 for number in range(9)]
    await cluster.message.send_texts(7, 2, *texts)
    await carol.until_texts(7, *texts)
    assert alice.socket.closed_with == (1013, "the connection is too slow: reconnect to catch up")
    assert cluster.edges[0].context.metrics.slow_closes._value.get() == 1
    alice.socket.vanish()
    again = await cluster.client(1)
    await again.until_texts(7, *texts)


async def test_a_message_that_fails_in_a_dialect_closes_only_its_connections(cluster: EdgeCluster, edge: Edge) -> None:
    """The rest of the delivery batch is delivered."""
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.add_chat(8, 3, 2)
    alice, carol = await cluster.synced_clients(1, 3)
    messages = [*cluster.backend.commit_texts(7, 2, "poison"), *cluster.backend.commit_texts(8, 2, "hello")]
    accounts = [alice.client.connection.account, carol.client.connection.account]
    await cluster.message.send_batch(edge.id, [Delivery(each, accounts, 1) for each in messages])
    await carol.socket.until(lambda: carol.texts(8) == ["hello"] or carol.socket.ended)
    await alice.socket.until(lambda: alice.socket.ended)
    assert alice.socket.closed_with is not None
    assert alice.socket.closed_with[0] == 1011


async def test_held_pushes_are_bounded_and_written_on_time(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(outgoing_bytes=100_000)
    for chat in (7, 8):
        cluster.backend.add_chat(chat, 1, 2)
    alice, other = await cluster.synced_clients(1, 1)
    soon = asyncio.get_running_loop().time() + 0.1
    alice.send(do="hold", chat=7, until=soon)
    other.send(do="hold", chat=8, until=soon + 1000)
    await asyncio.sleep(0)
    await cluster.message.send_texts(7, 2, "a", "b")
    await alice.until_texts(7, "a", "b")
    assert asyncio.get_running_loop().time() >= soon
    await cluster.message.send_texts(8, 2, *("x" * 60_000 for _ in range(3)))
    await other.socket.until(lambda: other.socket.ended)
    assert other.socket.closed_with is not None
    assert other.socket.closed_with[0] == 1013
    assert len(edge.endpoint.clients) == 1
