"""Tests read receipts on two edges."""

from typing import Any

import pytest

from services.edge.ephemeral import hub, read_events
from shared.contract.ephemeral import BlocksChanged
from shared.contract.ids import AccountId, ChatId
from shared.contract.receipts import FindReceiptChats
from tests.support.waiting import until
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.ephemeral.test_read_events import read
from tests.unit.services.edge.handlers.test_history import PagedMessages

ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(3)
CHAT, OTHER, SMALL = ChatId(5), ChatId(6), ChatId(7)


@pytest.fixture
async def readers(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> EdgeCluster:
    """Two edges, two chats with three messages of Cem, and one chat without Cem."""
    monkeypatch.setattr(read_events, "_GATHER_SECONDS", 0.2)
    await cluster.add_edge()
    await cluster.add_edge()
    for chat in (CHAT, OTHER):
        cluster.backend.add_chat(chat, ANN, BOB, CEM)
        cluster.backend.commit_texts(chat, CEM, "one", "two", "three")
    cluster.backend.add_chat(SMALL, ANN, BOB)
    cluster.backend.commit_texts(SMALL, BOB, "one")
    await cluster.run(PagedMessages(cluster).bus)
    return cluster


async def enter(cluster: EdgeCluster, account: AccountId, edge: int = 0) -> NativeClient:
    """Logs a user in, and waits until the user is a local member of all chats."""
    client = await connect(cluster, account, cluster.edges[edge])
    local = cluster.edges[edge].accounts.by_account[account]
    await until(lambda: local.chats >= {CHAT, OTHER} and (account == CEM or SMALL in local.chats))
    return client


def receipts(client: NativeClient) -> list[dict[str, Any]]:
    return [one for one in client.events if one["ev"] == "receipts"]


async def until_shown(client: NativeClient, chat: ChatId, *upto: list[int]) -> None:
    await client.socket.until(lambda: {"ev": "receipts", "chat": chat, "upto": [*upto]} in client.events)


async def test_the_other_members_see_what_one_has_read(readers: EdgeCluster) -> None:
    ann, bob, cem = await enter(readers, ANN), await enter(readers, BOB), await enter(readers, CEM, edge=1)
    await read(ann, CHAT, 2)
    for client in (bob, cem):
        await until_shown(client, CHAT, [ANN, 2])
    await read(bob, CHAT, 99)
    for client in (ann, cem):
        await until_shown(client, CHAT, [BOB, 3])
    assert (len(receipts(ann)), len(receipts(bob))) == (1, 1)


async def test_a_mark_as_unread_is_no_receipt(readers: EdgeCluster) -> None:
    ann, bob = await enter(readers, ANN), await enter(readers, BOB, edge=1)
    await read(ann, CHAT, 2)
    await until_shown(bob, CHAT, [ANN, 2])
    await ann.reply(ann.send(op="mark_unread", chat=CHAT, index=1))
    await read(ann, OTHER, 1)
    await until_shown(bob, OTHER, [ANN, 1])
    assert [one["chat"] for one in receipts(bob)] == [CHAT, OTHER]


async def test_nothing_is_shown_where_the_setting_forbids_it_or_in_a_big_chat(
    readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers.session.without_receipts.add(CHAT)
    ann, bob = await enter(readers, ANN), await enter(readers, BOB)
    await read(ann, CHAT, 1)
    await read(ann, OTHER, 1)
    await until_shown(bob, OTHER, [ANN, 1])
    rejected = await ann.reply(ann.send(op="readers", chat=CHAT, index=1))
    assert (rejected["error"]["code"], rejected["error"]["field"]) == ("forbidden", "chat")
    assert (await ann.reply(number := ann.send(op="readers", chat=OTHER, index=1))) == {
        "re": number, "count": 1, "accounts": [ANN], "more": False,
    }  # fmt: skip
    monkeypatch.setattr(hub, "_MEMBERS", 2)
    await read(ann, OTHER, 2)
    await read(ann, SMALL, 1, head=1)
    await until_shown(bob, SMALL, [ANN, 1])
    assert [(one["chat"], one["upto"]) for one in receipts(bob)] == [(OTHER, [[ANN, 1]]), (SMALL, [[ANN, 1]])]


async def test_session_is_requested_again_after_a_block_and_after_a_while(
    readers: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await enter(readers, ANN), await enter(readers, BOB)
    for index in (1, 2):
        await read(ann, CHAT, index)
        await until_shown(bob, CHAT, [ANN, index])
    assert len(readers.session.requests_of(FindReceiptChats)) == 1
    readers.edges[0]._ephemeral._receive(BlocksChanged(ANN))
    await read(ann, CHAT, 3)
    await until_shown(bob, CHAT, [ANN, 3])
    assert len(readers.session.requests_of(FindReceiptChats)) == 2
    monkeypatch.setattr(readers.edges[0]._ephemeral._known_receipts, "_seconds", 0.0)
    readers.edges[0]._ephemeral._receive(BlocksChanged(ANN))
    for index in (1, 2):
        await read(ann, OTHER, index)
        await until_shown(bob, OTHER, [ANN, index])
    assert len(readers.session.requests_of(FindReceiptChats)) == 4
