"""When an account reads on one connection, in any dialect, its other connections are notified, on two edges."""

from typing import Any

import pytest

from services.edge.ephemeral import read_events
from shared.contract.ephemeral import ReadPlace, ReadsWanted
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.receipts import FindReadIndexes
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.handlers.test_history import PagedMessages

ANN, BOB, CHAT, OTHER = AccountId(1), AccountId(2), ChatId(5), ChatId(6)


@pytest.fixture(autouse=True)
def shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_events, "_GATHER_SECONDS", 0.2)
    monkeypatch.setattr(read_events, "_WANTED_EVERY_SECONDS", 0.1)


@pytest.fixture
async def readers(cluster: EdgeCluster) -> EdgeCluster:
    """Two edges, and two chats with three messages of Bob."""
    await cluster.add_edge()
    await cluster.add_edge()
    for chat in (CHAT, OTHER):
        cluster.backend.add_chat(chat, ANN, BOB)
        cluster.backend.commit_texts(chat, BOB, "one", "two", "three")
    await cluster.run(PagedMessages(cluster).bus)
    return cluster


def shown(client: NativeClient) -> list[dict[str, Any]]:
    return [one for one in client.events if one["ev"] == "read"]


async def until_read(client: NativeClient, chat: int, index: int, unread: int = 0) -> None:
    event = {"ev": "read", "chat": chat, "index": index, "unread": unread, "mentions": 0}
    await client.socket.until(lambda: event in client.events)


async def read(client: NativeClient, chat: int, index: int, head: int = 3) -> None:
    reply = await client.reply(number := client.send(op="read", chat=chat, index=index))
    assert reply == {"re": number, "unread": max(0, head - index), "mentions": 0, "index": min(index, head)}


async def test_a_chat_is_unread_on_all_connections_until_the_next_read(readers: EdgeCluster) -> None:
    """The chat is unread everywhere, even if earlier reads are not committed yet."""
    ann, beside, far = [await connect(readers, ANN, edge) for edge in (readers.edges[0], *readers.edges)]
    bob = await connect(readers, BOB, readers.edges[1])
    await read(ann, CHAT, 3)
    number = ann.send(op="mark_unread", chat=CHAT, index=2)
    assert await ann.reply(number) == {"re": number, "unread": 2, "mentions": 0}
    assert readers.backend.cursor(ANN, CHAT).read_index == 3
    event = {"ev": "read", "chat": CHAT, "index": 3, "unread": 2, "mentions": 0, "unread_from": 2}
    for client in (beside, far):
        await client.socket.until(lambda: event in client.events)  # noqa: B023
    await read(beside, CHAT, 3)
    for client in (ann, far):
        await until_read(client, CHAT, 3)
    assert shown(bob) == []


async def test_a_connection_that_has_just_read_sees_the_mark_of_another(readers: EdgeCluster) -> None:
    ann, beside = await connect(readers), await connect(readers)
    await read(ann, CHAT, 3)
    await beside.reply(beside.send(op="mark_unread", chat=CHAT, index=2))
    event = {"ev": "read", "chat": CHAT, "index": 3, "unread": 2, "mentions": 0, "unread_from": 2}
    await ann.socket.until(lambda: event in ann.events)


async def test_other_connections_of_the_account_alone_are_notified(readers: EdgeCluster) -> None:
    ann, beside, far = [await connect(readers, ANN, edge) for edge in (readers.edges[0], *readers.edges)]
    bob = await connect(readers, BOB, readers.edges[1])
    await read(ann, CHAT, 2)
    for client in (beside, far):
        await until_read(client, CHAT, 2, unread=1)
    await read(ann, OTHER, 99)
    for client in (beside, far):
        await until_read(client, OTHER, 3)
        assert len(shown(client)) == 2
    assert (shown(bob), shown(ann)) == ([], [])


async def test_what_only_arrives_is_not_shown_as_read(readers: EdgeCluster) -> None:
    ann, other = await connect(readers), await connect(readers)
    await (await readers.client(ANN)).until_synced()
    await until(lambda: not readers.backend.undelivered(ANN, CHAT))
    assert readers.edges[0]._ephemeral.reads._waiting == {}
    await read(other, OTHER, 1)
    await until_read(ann, OTHER, 1, unread=2)
    assert [one["chat"] for one in shown(ann)] == [OTHER]


async def test_a_message_of_its_own_reads_what_is_before_it(readers: EdgeCluster) -> None:
    """This holds even for messages that have not arrived. The connection that wrote is not notified."""
    first, second = await connect(readers), await connect(readers)
    index = (await first.reply(first.send(op="send", chat=CHAT, text="hello", nonce="one")))["index"]
    await readers.edges[0].read_state.flush()
    await until_read(second, CHAT, index)
    assert shown(first) == []
    assert readers.backend.undelivered(ANN, CHAT) == [1, 2, 3]


async def test_the_connection_that_marked_less_than_another_is_notified(readers: EdgeCluster) -> None:
    """The highest index of a moment counts. The connection that sent it is not notified."""
    first, second = await connect(readers), await connect(readers)
    one, other = readers.edges[0].endpoint.clients  # the dict has the order in which the clients connected
    for number, index in ((one, 1), (other, 3), (one, 2)):
        readers.edges[0].read_state.mark_read(ReadPlace(ANN, CHAT, index, number))
    await until_read(first, CHAT, 3)
    await read(first, OTHER, 1)
    await until_read(second, OTHER, 1, unread=2)
    assert [one["chat"] for one in shown(second)] == [OTHER]


async def test_nothing_is_announced_while_nobody_shows_it(readers: EdgeCluster) -> None:
    reads = readers.edges[0]._ephemeral.reads
    reads.committed([ReadPlace(ANN, CHAT, 1, 7)])
    assert (reads.is_wanted, reads._waiting) == (False, {})


async def test_the_wish_of_an_edge_that_is_gone_ends(readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = readers.edges[0]._ephemeral.reads
    monkeypatch.setattr(read_events, "_WANTED_SECONDS", 0.1)
    reads.wanted(ReadsWanted(NodeId("gone")))
    await until(lambda: not reads.is_wanted)
    reads.committed([ReadPlace(ANN, CHAT, 1, 7)])
    assert reads._waiting == {}


async def test_a_moment_has_a_bounded_number_of_places(readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_events, "_WAITING_PLACES", 2)
    await connect(readers)
    reads = readers.edges[0]._ephemeral.reads
    reads.committed([ReadPlace(AccountId(number), CHAT, 1, 0) for number in (7, 8, 9)])
    reads.committed([ReadPlace(AccountId(8), CHAT, 2, 0)])
    assert [(one.account, one.index) for one in reads._waiting.values()] == [(7, 1), (8, 2)]


async def test_a_request_without_a_reply_delays_later_ones_only(
    readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_events, "_REQUEST_SECONDS", 0.2)
    first, second = await connect(readers), await connect(readers)
    readers.message.block(FindReadIndexes)
    await read(first, CHAT, 1)
    await readers.message.until_requested(FindReadIndexes)
    monkeypatch.setattr(read_events, "_REQUEST_SECONDS", WAIT_SECONDS)
    readers.message.unblock_all()
    await read(first, CHAT, 2)
    await until_read(second, CHAT, 2, unread=1)
