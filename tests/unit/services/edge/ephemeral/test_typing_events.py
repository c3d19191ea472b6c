"""Tests typing events between edges on a real NATS."""

import asyncio

import pytest

from services.edge.app import Edge
from services.edge.ephemeral import hub
from shared.contract.contacts import FindBlockedMembers
from shared.contract.ephemeral import Typing
from shared.contract.ids import AccountId, ChatId
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient

ANN, BOB, CEM, CHAT, PRIVATE = 1, 2, 3, 5, 6


class Typists:
    """Ann is on one edge. Bob is twice on the other edge, and Cem once."""

    def __init__(self, cluster: EdgeCluster, ann: EdgeClient, bobs: list[EdgeClient], cem: EdgeClient) -> None:
        self.cluster = cluster
        self.ann, self.cem = ann, cem
        self.bob, self.second_bob = bobs

    async def type(self, client: EdgeClient, chat: int = CHAT, *, on: bool = True) -> object:
        return await client.request(do="typing", chat=chat, on=on)

    async def until_shown(self, client: EdgeClient, chat: int, account: int, ttl_ms: int = 6000) -> None:
        await client.until_event("Typing", [chat, account, ttl_ms])


def shown(client: EdgeClient) -> list[object]:
    return [one["value"] for one in client.seen if one.get("event") == "Typing"]


async def login(cluster: EdgeCluster, edge: Edge, account: int) -> EdgeClient:
    client = await cluster.client(account, edge)
    await client.until_synced()
    return client


@pytest.fixture
async def typists(cluster: EdgeCluster) -> Typists:
    cluster.backend.add_chat(CHAT, ANN, BOB, CEM)
    cluster.backend.add_chat(PRIVATE, ANN, BOB)
    first, second = await cluster.add_edge(), await cluster.add_edge()
    ann = await login(cluster, first, ANN)
    bobs = [await login(cluster, second, BOB) for _ in range(2)]
    return Typists(cluster, ann, bobs, await login(cluster, second, CEM))


async def test_all_other_members_see_it_on_all_connections(typists: Typists) -> None:
    assert await typists.type(typists.bob) == "Ack"
    for client in (typists.ann, typists.cem):
        await typists.until_shown(client, CHAT, BOB)
    await typists.type(typists.ann, on=False)
    for client in (typists.bob, typists.second_bob, typists.cem):
        await typists.until_shown(client, CHAT, ANN, 0)
    assert shown(typists.bob) == shown(typists.second_bob) == [[CHAT, ANN, 0]]
    assert shown(typists.ann) == [[CHAT, BOB, 6000]]


async def test_the_typist_s_profile_summary_comes_with_it(typists: Typists, monkeypatch: pytest.MonkeyPatch) -> None:
    published = asyncio.Queue[Typing]()
    monkeypatch.setattr(typists.cluster.edges[0]._ephemeral.typing, "_publish", published.put)
    await typists.type(typists.ann)
    async with asyncio.timeout(WAIT_SECONDS):
        event = await published.get()
    assert event.face == typists.ann.client.session.summary() is not None


async def test_a_member_alone_may_type(typists: Typists) -> None:
    for chat in (PRIVATE, 99):
        assert await typists.type(typists.cem, chat) == "forbidden"
    await typists.type(typists.cem)
    await typists.until_shown(typists.ann, CHAT, CEM)
    assert shown(typists.ann) == [[CHAT, CEM, 6000]]
    await typists.cluster.session.leave(CHAT, CEM)
    await typists.cem.until_event("ChatLeft", CHAT)
    assert await typists.type(typists.cem) == "forbidden"


async def test_more_than_one_in_three_seconds_is_dropped(typists: Typists, monkeypatch: pytest.MonkeyPatch) -> None:
    # for the edge, no time passes
    monkeypatch.setattr(typists.cluster.edges[0]._ephemeral.typing, "_clock", lambda: 0.0)
    for _ in range(5):
        assert await typists.type(typists.ann) == "Ack"
        await typists.until_shown(typists.bob, CHAT, ANN)
    await typists.type(typists.ann, on=False)
    await typists.until_shown(typists.bob, CHAT, ANN, 0)
    await typists.type(typists.ann, PRIVATE)
    await typists.until_shown(typists.bob, PRIVATE, ANN)
    assert shown(typists.bob) == [[CHAT, ANN, 6000], [CHAT, ANN, 0], [PRIVATE, ANN, 6000]]


async def test_a_blocked_user_is_not_shown_in_a_private_chat(typists: Typists) -> None:
    session = typists.cluster.session
    session.blocked_members.add((AccountId(BOB), ChatId(PRIVATE)))
    await typists.type(typists.bob, PRIVATE)
    await typists.type(typists.bob, CHAT)
    await typists.until_shown(typists.ann, CHAT, BOB)
    session.blocked_members.clear()
    await typists.ann.request(do="block", account=BOB, on=False)
    await typists.type(typists.ann, CHAT)
    await typists.until_shown(typists.bob, CHAT, ANN)  # this event comes after the one that removes the block
    await typists.type(typists.bob, PRIVATE, on=False)
    await typists.until_shown(typists.ann, PRIVATE, BOB, 0)
    assert shown(typists.ann) == [[CHAT, BOB, 6000], [PRIVATE, BOB, 0]]


async def test_nothing_is_shown_while_session_is_away_and_no_reply_waits(typists: Typists) -> None:
    gate = typists.cluster.session.block(FindBlockedMembers)
    assert await typists.type(typists.ann) == "Ack"
    await typists.cluster.session.until_requested(FindBlockedMembers)
    assert await typists.ann.request(do="ping") == "pong"
    assert shown(typists.bob) == []
    gate.set()
    await typists.until_shown(typists.bob, CHAT, ANN)


async def test_a_slow_client_gets_nothing(typists: Typists) -> None:
    typists.bob.socket.deaf = True
    typists.bob.socket.send((b'{"event": "big", "value": "%b"}' % (b"x" * 5000),))
    await typists.type(typists.ann)
    for client in (typists.second_bob, typists.cem):
        await typists.until_shown(client, CHAT, ANN)
    typists.bob.socket.stop_being_deaf()
    await typists.type(typists.ann, on=False)
    await typists.until_shown(typists.bob, CHAT, ANN, 0)
    assert shown(typists.bob) == [[CHAT, ANN, 0]]


async def test_nothing_is_shown_to_a_crowd(typists: Typists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_MEMBERS", 1)
    await typists.type(typists.ann)
    await typists.type(typists.ann, PRIVATE)
    await typists.until_shown(typists.bob, PRIVATE, ANN)
    assert shown(typists.bob) == [[PRIVATE, ANN, 6000]]
