"""What an account reads on one connection, in any dialect, is shown on its others, on two edges."""

import asyncio
from typing import Any

import pytest

from services.edge.ephemeral import read_display, read_notices
from shared.contract.ephemeral import ReadPlace, ReadsWanted
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ReadRange
from shared.contract.receipts import FindReadIndexes
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.handlers.test_history import PagedMessages

ANN, BOB, CHAT, OTHER = AccountId(1), AccountId(2), ChatId(5), ChatId(6)


@pytest.fixture(autouse=True)
def shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_notices, "_GATHER_SECONDS", 0.2)
    monkeypatch.setattr(read_notices, "_WANTED_EVERY_SECONDS", 0.1)


@pytest.fixture
async def readers(cluster: EdgeCluster) -> EdgeCluster:
    """Two edges and two chats with three messages of Bob."""
    await cluster.add_edge()
    await cluster.add_edge()
    for chat in (CHAT, OTHER):
        cluster.backend.add_chat(chat, ANN, BOB)
        cluster.backend.commit_texts(chat, BOB, "one", "two", "three")
    pages = PagedMessages(cluster)
    await pages.bus.start()
    cluster.stack.push_async_callback(pages.bus.stop)
    return cluster


def shown(client: NativeClient) -> list[dict[str, Any]]:
    return [one for one in client.events if one["ev"] == "read"]


async def until_read(client: NativeClient, chat: int, index: int, unread: int = 0) -> None:
    event = {"ev": "read", "chat": chat, "index": index, "unread": unread, "mentions": 0}
    await client.socket.until(lambda: event in client.events)


async def read(client: NativeClient, chat: int, index: int) -> None:
    reply = await client.reply(number := client.send(op="read", chat=chat, index=index))
    assert reply == {"re": number, "unread": max(0, 3 - index), "mentions": 0}


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


async def test_what_arrives_in_another_dialect_is_shown(readers: EdgeCluster) -> None:
    """On both edges, once the other one knows that a connection shows it."""
    near, far = await connect(readers), await connect(readers, ANN, readers.edges[1])
    async with asyncio.timeout(WAIT_SECONDS):
        while not readers.edges[0]._ephemeral.reads.is_wanted:
            await asyncio.sleep(0.01)
    await (await readers.client(ANN)).until_synced()
    for client in (near, far):
        await until_read(client, CHAT, 3)
        await until_read(client, OTHER, 3)


async def test_posting_is_no_reading(readers: EdgeCluster) -> None:
    first, second = await connect(readers), await connect(readers)
    for nonce, client in (("one", first), ("two", second)):
        assert "index" in await client.reply(client.send(op="send", chat=CHAT, text="hello", nonce=nonce))
    await readers.edges[0].read_state.flush()
    assert readers.edges[0]._ephemeral.reads._waiting == {}
    await read(first, OTHER, 2)
    await until_read(second, OTHER, 2, unread=1)
    assert (shown(first), len(shown(second))) == ([], 1)


async def test_what_is_unread_in_between_is_not_shown_as_read(readers: EdgeCluster) -> None:
    ann = await connect(readers)
    readers.edges[0].read_state.mark_read(ANN, {CHAT: [(1, 1), (3, 3)]})
    await until_read(ann, CHAT, 1, unread=1)


async def test_the_connection_that_marked_less_than_another_is_notified(readers: EdgeCluster) -> None:
    """The place that counts is the highest of a moment; its connection is not notified."""
    first, second = await connect(readers), await connect(readers)
    reads = readers.edges[0]._ephemeral.reads
    one, other = readers.edges[0].endpoint.clients  # in the order of connecting
    for number, index in ((one, 1), (other, 3), (one, 2)):
        reads.mark(ReadPlace(ANN, CHAT, index, number))
    readers.backend.mark_read(ANN, CHAT, 1, 3)
    reads.committed([ReadRange(ANN, CHAT, 1, 3)])
    await until_read(first, CHAT, 3)
    await read(first, OTHER, 1)
    await until_read(second, OTHER, 1, unread=2)
    assert [one["chat"] for one in shown(second)] == [OTHER]


async def test_nothing_is_announced_while_nobody_shows_it(readers: EdgeCluster) -> None:
    reads = readers.edges[0]._ephemeral.reads
    reads.committed([ReadRange(ANN, CHAT, 1, 1)])
    assert (reads.is_wanted, reads._waiting) == (False, {})


async def test_the_wish_of_an_edge_that_is_gone_ends(readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = readers.edges[0]._ephemeral.reads
    monkeypatch.setattr(read_notices, "_WANTED_SECONDS", 0.1)
    reads.wanted(ReadsWanted(NodeId("gone")))
    async with asyncio.timeout(WAIT_SECONDS):
        while reads.is_wanted:
            await asyncio.sleep(0.02)
    reads.mark(ReadPlace(ANN, CHAT, 1, 7))
    reads.committed([ReadRange(ANN, CHAT, 1, 1)])
    assert (reads._waiting, reads._marked) == ({}, {})


async def test_a_moment_has_a_bounded_number_of_places(readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_notices, "_WAITING_PLACES", 2)
    await connect(readers)
    reads = readers.edges[0]._ephemeral.reads
    reads.committed([ReadRange(AccountId(number), CHAT, 1, 1) for number in (7, 8, 9)])
    reads.committed([ReadRange(AccountId(8), CHAT, 2, 2)])
    assert [(one.account, one.index) for one in reads._waiting.values()] == [(7, 1), (8, 2)]


async def test_a_request_without_a_reply_delays_later_ones_only(
    readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_display, "_REQUEST_SECONDS", 0.2)
    first, second = await connect(readers), await connect(readers)
    readers.message.block(FindReadIndexes)
    await read(first, CHAT, 1)
    await readers.message.until_requested(FindReadIndexes)
    monkeypatch.setattr(read_display, "_REQUEST_SECONDS", WAIT_SECONDS)
    readers.message.unblock_all()
    await read(first, CHAT, 2)
    await until_read(second, CHAT, 2, unread=1)
