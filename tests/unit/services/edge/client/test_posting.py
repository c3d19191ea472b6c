"""A client's messages are committed once and get one reply each, in order, whatever happens to delivery batches and
replies.
"""

import asyncio
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from services.edge.app import Edge
from services.edge.canonical.events import ChatJoined
from services.edge.canonical.frames import Frame
from services.edge.client import posts
from services.edge.upstream import attempt, publisher
from shared.bus.client import pack
from shared.contract.edge import DeliveryBatch
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import PostMessages, SyncChat
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient

UNAVAILABLE = Failure(ErrorCode.UNAVAILABLE, "not now")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_ATTEMPT_SECONDS", 0.3)


def texts_of(cluster: EdgeCluster, chat: int) -> list[int]:
    return [message.index for message in cluster.backend.chats[chat].messages]  # type: ignore[index]


async def test_a_message_is_answered_and_delivered_to_others_and_to_the_senders_other_devices(
    cluster: EdgeCluster,
) -> None:
    edges = [await cluster.add_edge(), await cluster.add_edge()]
    cluster.backend.add_chat(7, 1, 2)
    phone, *others = [await cluster.client(account, edge) for account in (1, 2) for edge in edges]
    desk = await cluster.client(1)
    assert await phone.post(7, "hello") == 1
    for device in (desk, *others):
        await device.until_texts(7, "hello")
    assert phone.messages == []


async def test_a_batch_answers_a_message_with_a_late_or_lost_reply(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    held = asyncio.Event()

    async def late() -> bool:
        await held.wait()
        return True

    cluster.message.on_reply = late
    assert await alice.post(7, "one") == 1
    assert await alice.post(7, "two") == 2
    held.set()
    assert await alice.post(7, "three") == 3
    assert alice.replied_refs == sorted(alice.replied_refs)
    assert alice.messages == []
    assert texts_of(cluster, 7) == [1, 2, 3]


async def three_under_way(cluster: EdgeCluster) -> tuple[list[EdgeClient], asyncio.Event]:
    """Connects six devices. The replies to messages of three of them arrive when the event is set."""
    cluster.backend.add_chat(7, *range(1, 7))
    devices = [await cluster.client(account) for account in range(1, 7)]
    gate = cluster.message.block(PostMessages)
    for count, device in enumerate(devices[:3], 1):
        device.send(do="post", chat=7, text="early")
        await cluster.message.until_received(count)
    return devices, gate


async def test_messages_are_gathered_while_enough_requests_are_in_flight(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_GATHER_SECONDS", 60.0)
    await cluster.add_edge()
    devices, gate = await three_under_way(cluster)
    sent = []
    for device in devices[3:]:
        sent.append((device, device.send(do="post", chat=7, text="late")))
        await asyncio.sleep(0.01)  # this lasts some event-loop iterations
    assert cluster.message.received == 3
    gate.set()
    assert [await device.reply_to(number) for device, number in sent] == [[7, 4], [7, 5], [7, 6]]
    assert [len(request.drafts) for request in cluster.message.requests_of(PostMessages)] == [1, 1, 1, 3]


async def test_gathered_messages_are_sent_at_the_end(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_GATHER_SECONDS", 60.0)
    edge = await cluster.add_edge()
    devices, gate = await three_under_way(cluster)
    sent = devices[3].send(do="post", chat=7, text="late")
    await asyncio.sleep(0.01)
    assert cluster.message.received == 3
    finishing = asyncio.create_task(edge.publisher.finish(5.0))
    await cluster.message.until_received(4)
    gate.set()
    assert await devices[3].reply_to(sent) == [7, 4]
    await finishing


async def test_a_replica_that_does_not_reply_delays_no_other_request(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    devices, gate = await three_under_way(cluster)
    sent = devices[3].send(do="post", chat=7, text="late")
    await asyncio.wait_for(cluster.message.until_received(4), 1.0)  # within this second, the edge repeats no request
    gate.set()
    assert await devices[3].reply_to(sent) == [7, 4]


async def test_a_message_is_answered_once_when_the_reply_comes_before_the_batch(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    held = list[tuple[NodeId, DeliveryBatch]]()

    def hold(node: NodeId, batch: DeliveryBatch) -> list[DeliveryBatch]:
        held.append((node, batch))
        return []

    cluster.message.on_batch = hold
    sent = alice.send(do="post", chat=7, text="hello")
    await cluster.message.until_replied()
    cluster.message.on_batch = lambda node, batch: [batch]
    for node, batch in held:
        await cluster.message.publish(node, batch)
    assert await alice.reply_to(sent) == [7, 1]
    await bob.until_texts(7, "hello")
    assert await alice.post(7, "again") == 2
    assert (alice.messages, len(alice.replied_refs)) == ([], 3)


@pytest.mark.usefixtures("impatient")
async def test_a_request_without_a_reply_is_repeated_and_committed_once(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    answers = iter([False, True])

    async def second() -> bool:
        return next(answers)

    cluster.message.on_reply = second
    cluster.message.on_batch = lambda node, batch: []
    assert await alice.post(7, "hello") == 1
    await bob.until_texts(7, "hello")
    assert len(cluster.message.requests_of(PostMessages)) == 2
    assert texts_of(cluster, 7) == [1]


@pytest.mark.usefixtures("impatient")
async def test_another_replica_fans_out_for_one_that_died(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    cluster.message.dies_after_commit = True
    sent = alice.send(do="post", chat=7, text="hello")
    await cluster.message.until_requested(PostMessages)
    await cluster.message.stop()
    await cluster.add_message_replica()
    assert await alice.reply_to(sent) == [7, 1]
    await bob.until_texts(7, "hello")
    assert texts_of(cluster, 7) == [1]


async def test_unavailable_is_retried_and_other_errors_are_replied_in_order(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    cluster.message.failures = [UNAVAILABLE, Failure(ErrorCode.FORBIDDEN, "no"), UNAVAILABLE]
    sent = [alice.send(do="post", chat=7, text=str(number)) for number in range(3)]
    await alice.reply_to(sent[-1])
    assert [alice.replies[ref] for ref in sent] == [[7, 1], "forbidden", [7, 2]]
    assert [ref for ref in alice.replied_refs if ref in sent] == sent


async def test_messages_sent_at_once_keep_their_order_and_share_requests(cluster: EdgeCluster, edge: Edge) -> None:
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.add_chat(8, 1, 2)
    alice, bob = await cluster.client(1), await cluster.client(2)
    sent = [alice.send(do="post", chat=7, text=str(number)) for number in range(100)]
    sent += [alice.send(do="post", chat=8, text="eight"), alice.send(do="account", account=2)]
    bob.send(do="post", chat=7, text="bob")
    await alice.reply_to(sent[-1])
    assert [ref for ref in alice.replied_refs if ref in sent] == sent
    await bob.socket.until(lambda: len(bob.messages) == 101)
    assert bob.texts(7) == [str(number) for number in range(100)]
    first, *others = cluster.message.requests_of(PostMessages)
    assert (first.node, len(first.drafts)) == (edge.id, 65)
    assert len(others) == 2


async def test_a_long_batch_is_split_and_keeps_its_order(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    texts = [str(number) * 60_000 for number in range(10)]
    sent = [alice.send(do="post", chat=7, text=text) for text in texts]
    await alice.reply_to(sent[-1])
    await bob.until_texts(7, *texts)
    sizes = [sum(len(draft.body) for draft in request.drafts) for request in cluster.message.requests_of(PostMessages)]
    assert max(sizes) < 448 * 1024
    assert len(sizes) < 5


async def test_batches_of_many_connections_share_requests_but_are_never_split(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.add_chat(7, *range(1, 13))
    devices = [await cluster.client(account) for account in range(1, 13)]
    sent = [(device, device.send(do="post", chat=7, text="x")) for device in devices for _ in range(60)]
    await asyncio.gather(*(device.reply_to(ref) for device, ref in sent))
    requests = cluster.message.requests_of(PostMessages)
    assert all(len(request.drafts) <= 512 for request in requests)
    first: dict[Nonce, tuple[AccountId, int]] = {}  # on a busy machine, the edge repeats some requests
    for number, request in enumerate(requests):
        for draft in request.drafts:
            first.setdefault(draft.nonce, (draft.sender, number))
    assert (len(first), len(set(first.values()))) == (12 * 60, 12)


async def test_a_sender_that_has_left_the_chat_is_answered_and_receives_nothing_more(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    room = cluster.backend.chats[ChatId(7)]
    gate = cluster.message.block(PostMessages)
    sent = alice.send(do="post", chat=7, text="last words")
    await cluster.message.until_requested(PostMessages)
    cluster.message.on_batch = lambda node, batch: [cluster.message.without(batch, 1)]
    gate.set()
    assert await alice.reply_to(sent) == [7, 1]
    room.leave(1)
    cluster.message.on_batch = lambda node, batch: [batch]
    await cluster.message.send_texts(7, 2, "gone?")
    await bob.until_texts(7, "last words")
    assert alice.messages == []


async def test_the_first_message_in_a_chat_that_this_node_does_not_know(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.enter(1, 2)
    cluster.session.silent = True
    await cluster.session.create(7, 1, 2)
    cluster.message.on_batch = lambda node, batch: []
    assert await alice.post(7, "one") == 1
    cluster.message.on_batch = lambda node, batch: [batch]
    await cluster.message.send_texts(7, 2, "two")
    assert await alice.post(7, "three") == 3
    assert alice.texts(7) == ["two"]
    await bob.socket.until(lambda: "three" in bob.texts(7))
    assert bob.texts(7) == ["one", "two", "three"]


@pytest.mark.parametrize("messages", [1, 150])
async def test_messages_fail_after_the_deadline_and_with_those_before_them(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    """A batch has no separate deadline. If it had one, the last of many messages would get no reply for a minute."""
    monkeypatch.setattr(attempt, "_SLACK_SECONDS", 0.2)
    (alice,) = await cluster.chat(1, 2, online=[1], request_seconds=1.5)
    gate = cluster.message.block(PostMessages)
    started = asyncio.get_running_loop().time()
    before = len(alice.socket.received)
    for number in range(messages):
        alice.send(do="post", chat=7, text=f"{number}")
    await alice.socket.until(lambda: len(alice.socket.received) >= before + messages)
    assert not alice.texts(7)
    assert 0.7 <= asyncio.get_running_loop().time() - started < 4.2
    gate.set()
    assert await alice.request(do="post", chat=7, text="hello again") == [7, 1]
    assert texts_of(cluster, 7) == [1]


async def test_time_in_the_queue_counts(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_SLACK_SECONDS", 0.2)
    (alice,) = await cluster.chat(1, 2, online=[1], request_seconds=2.0)
    gate = cluster.message.block(PostMessages)
    alice.send(do="post", chat=7, text="in flight")
    await asyncio.sleep(1.0)
    started = asyncio.get_running_loop().time()
    assert await alice.request(do="post", chat=7, text="behind it") == "unavailable"
    assert asyncio.get_running_loop().time() - started < 2.9
    gate.set()


async def test_a_committed_message_that_cannot_be_read_is_reported_as_failed_and_shown_later(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_SLACK_SECONDS", 0.1)
    monkeypatch.setattr(posts, "_PLACE_SECONDS", 0.1)
    (alice,) = await cluster.chat(1, 2, online=[1], request_seconds=1.5)
    gate = cluster.message.block(SyncChat)
    cluster.message.on_batch = lambda node, batch: []
    sent = alice.send(do="post", chat=7, text="hello")
    assert await alice.reply_to(sent) == "unavailable"
    gate.set()
    await alice.until_texts(7, "hello")
    assert await alice.request(do="post", chat=7, text="next") == [7, 2]
    assert alice.texts(7) == ["hello"]


async def test_a_disconnect_does_not_undo_a_posted_message(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    gate = cluster.message.block(PostMessages)
    alice.send(do="post", chat=7, text="bye")
    alice.send(do="account", account=2)
    await cluster.message.until_requested(PostMessages)
    alice.socket.leave()
    gate.set()
    await bob.until_texts(7, "bye")
    assert alice.replied_refs == [1]
    assert len(cluster.edges[0].endpoint.clients) == 1


async def test_replies_keep_request_order_for_all_kinds_of_requests(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.add_chat(8, 1)
    alice = await cluster.client(1)
    sent = [
        alice.send(**fields)
        for fields in (
            {"do": "post", "chat": 7, "text": "one"}, {"do": "account", "account": 2}, {"do": "nonsense"},
            {"do": "post", "chat": 8, "text": "two"}, {"do": "chat", "chat": 7}, {"do": "status"},
            {"do": "post", "chat": 7, "text": "three"}, {"do": "create", "members": [1, 2]},
        )
    ]  # fmt: skip
    await alice.reply_to(sent[-1])
    order = [seen["re"] for seen in alice.seen if "re" in seen][1:]
    assert order == [ref if number != 2 else None for number, ref in enumerate(sent)]


@pytest.mark.parametrize("closes", [True, False])
async def test_a_dialect_that_fails_closes_its_connection_alone(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    alice, bob = await cluster.enter(1, 2)
    if not closes:
        monkeypatch.setattr(alice.client.dialect, "encode_close", None)
    alice.send(do="explode")
    bob.send(do="status")
    await alice.socket.until(lambda: alice.socket.ended)
    assert (alice.socket.closed_with or (0,))[0] == (1011 if closes else 0)
    assert isinstance(bob, EdgeClient)
    assert await bob.request(do="status") == "ServerStatus"


async def post_and_hold(cluster: EdgeCluster, *sent: tuple[EdgeClient, str]) -> list[DeliveryBatch]:
    """Posts to chat 7 in this order. The caller delivers the batches, and no replies arrive."""
    held = list[DeliveryBatch]()

    async def never() -> bool:
        return False

    cluster.message.on_reply = never
    cluster.message.on_batch = lambda node, batch: held.append(batch) or []  # type: ignore[func-returns-value]
    for number, (device, text) in enumerate(sent, cluster.message.batches + 1):
        device.send(do="post", chat=7, text=text)
        await cluster.message.until_fanned_out(number)
    return held


def deliver(edge: Edge, batches: list[DeliveryBatch]) -> None:
    """Delivers all messages in the first delivery batch."""
    deliveries = [delivery for batch in batches for delivery in batch.deliveries]
    edge.receiver.receive_batch(pack(replace(batches[0], deliveries=deliveries)), edge.id)


async def test_a_push_and_a_reply_keep_the_order_of_the_chat(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    deliver(cluster.edges[0], await post_and_hold(cluster, (alice, "one"), (bob, "two")))
    await alice.until_texts(7, "two")
    assert [seen.get("ok") or seen["message"][1] for seen in alice.seen[-2:]] == [[7, 1], 2]
    await bob.socket.until(lambda: bob.seen[-1].get("ok") == [7, 2])
    assert bob.texts(7) == ["one"]


async def test_an_event_after_an_own_message_is_pushed_after_its_reply(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    deliver(cluster.edges[0], await post_and_hold(cluster, (alice, "one")))
    alice.client.notify(ChatJoined(ChatId(9)))
    assert [seen.get("ok") or seen["event"] for seen in alice.seen[-2:]] == [[7, 1], "ChatJoined"]


async def test_due_replies_are_written_before_a_close(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    deliver(cluster.edges[0], await post_and_hold(cluster, (alice, "one")))
    alice.client.close(1008, "logged out")
    assert alice.seen[-1].get("ok") == [7, 1]
    assert alice.socket.closed_with == (1008, "logged out")


async def test_replies_that_are_due_together_are_written_together(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1])
    writes = list[int]()

    def send(frames: Iterable[Frame]) -> None:
        writes.append(len(list(frames)))

    monkeypatch.setattr(alice.socket, "send", send)
    held = await post_and_hold(cluster)
    for text in ("one", "two", "three"):
        alice.send(do="post", chat=7, text=text)
    await cluster.message.until_fanned_out()
    deliver(cluster.edges[0], held)
    await until(lambda: writes)
    assert writes == [3]
