"""Tests the cache of blocks with a session service that counts requests."""

import asyncio

import pytest

from services.edge.app import Edge
from services.edge.canonical.irc_commands import RelayTags
from services.edge.ephemeral import hub
from services.edge.ephemeral.hub import EphemeralHub, KnownBlocks
from shared.contract.contacts import FindBlockedMembers
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.tasks import Tasks
from tests.unit.services.edge.conftest import EdgeCluster

ANN, BOB, CHAT, OTHER = AccountId(1), AccountId(2), ChatId(5), ChatId(6)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_reply_counts_for_a_minute(cluster: EdgeCluster) -> None:
    edge, clock, session = await cluster.add_edge(), Clock(), cluster.session
    known = KnownBlocks(edge.bus, clock)
    session.blocked_members.add((ANN, CHAT))
    for clock.now in (0.0, 59.0):
        assert [await known.is_blocked(ANN, CHAT), await known.is_blocked(ANN, OTHER)] == [True, False]
    assert len(session.requests_of(FindBlockedMembers)) == 2
    clock.now = 61.0
    session.blocked_members.clear()
    assert not await known.is_blocked(ANN, CHAT)
    await known.close()


async def test_members_of_one_tick_share_a_request(cluster: EdgeCluster, edge: Edge) -> None:
    known = KnownBlocks(edge.bus, Clock())
    await asyncio.gather(*(known.is_blocked(AccountId(number), CHAT) for number in range(1, 4)))
    (request,) = cluster.session.requests_of(FindBlockedMembers)
    assert sorted(request.members) == [(1, CHAT), (2, CHAT), (3, CHAT)]
    await known.close()


async def test_a_reply_from_before_a_change_is_not_remembered(cluster: EdgeCluster, edge: Edge) -> None:
    known, gate = KnownBlocks(edge.bus, Clock()), cluster.session.block(FindBlockedMembers)
    before = asyncio.create_task(known.is_blocked(ANN, CHAT))
    await cluster.session.until_requested(FindBlockedMembers)
    known.forget()
    gate.set()
    await before
    await known.is_blocked(ANN, CHAT)
    assert len(cluster.session.requests_of(FindBlockedMembers)) == 2
    await known.close()


async def test_what_is_known_is_bounded(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_KNOWN_REPLIES", 1)
    edge = await cluster.add_edge()
    known = KnownBlocks(edge.bus, Clock())
    places = [(ANN, CHAT), (ANN, OTHER), (BOB, CHAT)]
    for account, chat in places * 2:
        await known.is_blocked(account, chat)
    assert len(cluster.session.requests_of(FindBlockedMembers)) == 6
    await known.close()


async def test_clients_send_nothing_to_those_that_block_their_user(cluster: EdgeCluster, edge: Edge) -> None:
    ephemeral = EphemeralHub(edge.bus, edge.presence, edge.accounts, edge.chats, Tasks(), Clock(), edge.id)
    cluster.session.blocked_members.add((ANN, CHAT))
    with pytest.raises(RequestError, match="does not accept"):
        await ephemeral.relay_tags(RelayTags(CHAT, {}), ANN, None)
    with pytest.raises(RequestError, match="not a member"):
        await ephemeral.relay_tags(RelayTags(OTHER, {}), ANN, None)
    await ephemeral.close()
