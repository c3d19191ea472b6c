"""Tests friendships by requests over a real NATS, with a real Valkey."""

import pytest

from services.session.service import friends
from shared.contract.contacts import (
    AnswerFriendship,
    DropPendingEvents,
    FindBlockedMembers,
    FindWatchable,
    ListBlocked,
    ListRequests,
    PendingFriendship,
    RequestFriendship,
    SetBlocked,
)
from shared.contract.edge import FriendshipAnswered, FriendshipRequested, Notify
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.routes import Ack
from shared.contract.session import OpenPrivateChat
from shared.contract.subjects import notify
from tests.unit.services.session.service_harness import ANN, BOB, CEM, A, B, BusPeers, rejection


async def request(peers: BusPeers, actor: AccountId, account: AccountId, text: str = "hi") -> Ack:
    return await peers.edge.send(RequestFriendship(account, text, actor=actor))


async def answer(peers: BusPeers, actor: AccountId, applicant: AccountId, accept: bool = True) -> Ack:
    return await peers.edge.send(AnswerFriendship(applicant, accept, actor=actor))


async def test_request_is_notified_and_listed_and_its_answer_notifies_both(peers: BusPeers) -> None:
    await request(peers, ANN, BOB, "it is me")
    assert await peers.wait_for_events(notify(B)) == [Notify(FriendshipRequested(ANN, BOB, "it is me"), [BOB])]
    pending = await peers.edge.send(ListRequests(actor=BOB))
    assert pending.friendships == [PendingFriendship(ANN, "it is me")]
    await answer(peers, BOB, ANN)
    assert (await peers.view(ANN, ANN)).friends == [BOB]
    numbers = {account: (await peers.pending_events(account))[0].number for account in (ANN, BOB)}
    notified = (await peers.wait_for_events(notify(B), 2))[1]
    assert notified == Notify(FriendshipAnswered(ANN, BOB, accepted=True, kept={BOB: numbers[BOB]}), [BOB])
    notified = (await peers.wait_for_events(notify(A), 2))[1]
    assert notified.event == FriendshipAnswered(ANN, BOB, accepted=True, kept=numbers)


async def test_rejection_notifies_only_the_applicant(peers: BusPeers) -> None:
    await request(peers, ANN, BOB)
    await answer(peers, BOB, ANN, accept=False)
    (one,) = await peers.pending_events(ANN)
    rejected = FriendshipAnswered(ANN, BOB, accepted=False, kept={ANN: one.number})
    assert (await peers.wait_for_events(notify(A), 2))[1] == Notify(rejected, [ANN])
    assert len(peers.events[notify(B)]) == 1
    assert await peers.pending_events(BOB) == []


async def test_account_deletes_only_its_own_pending_events(peers: BusPeers) -> None:
    await peers.befriend(ANN, CEM)
    await peers.befriend(BOB, CEM)
    first, second = await peers.pending_events(CEM)
    await peers.edge.send(DropPendingEvents([first.number, 0, 2**63], CEM))
    await peers.edge.send(DropPendingEvents([second.number], ANN))
    assert await peers.pending_events(CEM) == [second]


async def test_a_block_is_announced_with_the_private_chat(peers: BusPeers) -> None:
    opened = await peers.edge.send(OpenPrivateChat(BOB, actor=ANN))
    version = (await peers.changes(opened.chat)).version
    await peers.edge.send(SetBlocked(BOB, blocked=True, actor=ANN))
    assert await peers.version(opened.chat) == version + 1
    assert list((await peers.changes(opened.chat)).muted) == [BOB]
    assert (await peers.edge.send(ListBlocked(actor=ANN))).accounts == [BOB]
    await peers.edge.send(SetBlocked(BOB, blocked=False, actor=ANN))
    assert await peers.version(opened.chat) == version + 2
    assert (await peers.changes(opened.chat)).muted == {}
    rejected = await rejection(peers.edge.send(SetBlocked(ANN, blocked=True, actor=ANN)))
    assert rejected.code == ErrorCode.INVALID


async def test_edges_find_blocked_members(peers: BusPeers) -> None:
    chat = (await peers.edge.send(OpenPrivateChat(BOB, actor=ANN))).chat
    await peers.edge.send(SetBlocked(BOB, blocked=True, actor=ANN))
    members = [(ANN, chat), (BOB, chat), (BOB, ChatId(2**63)), (AccountId(-1), chat)]
    found = await peers.edge.send(FindBlockedMembers(members))
    assert found.members == [(ANN, chat), (BOB, chat)]
    rejected = await rejection(peers.edge.send(FindBlockedMembers([(ANN, chat)] * 1001)))
    assert rejected.code == ErrorCode.LIMIT


async def test_edges_find_the_accounts_that_a_user_may_watch(peers: BusPeers) -> None:
    await peers.befriend(ANN, BOB)
    accounts = [BOB, ANN, CEM, AccountId(2**63)]
    assert (await peers.edge.send(FindWatchable(accounts, ANN))).accounts == [ANN, BOB]
    rejected = await rejection(peers.edge.send(FindWatchable([BOB] * 1001, ANN)))
    assert rejected.code == ErrorCode.LIMIT


async def test_lists_are_cut_to_the_reply_limit(peers: BusPeers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(friends, "_LIST_BYTES", 100)
    for actor in (ANN, BOB):
        await request(peers, actor, CEM, "x" * 60)
    pending = await peers.edge.send(ListRequests(actor=CEM))
    assert [one.applicant for one in pending.friendships] == [ANN]
    for actor in (ANN, BOB):
        await answer(peers, CEM, actor)
    assert [len(await peers.pending_events(account)) for account in (ANN, CEM)] == [1, 1]


async def test_invalid_friend_request_is_rejected(peers: BusPeers) -> None:
    rejected = [
        (RequestFriendship(BOB), ErrorCode.UNAUTHENTICATED),
        (RequestFriendship(ANN, actor=ANN), ErrorCode.INVALID),
        (RequestFriendship(AccountId(77), actor=ANN), ErrorCode.NOT_FOUND),
        (RequestFriendship(AccountId(2**63), actor=ANN), ErrorCode.NOT_FOUND),
        (RequestFriendship(BOB, "x" * 1_001, actor=ANN), ErrorCode.TOO_LARGE),
    ]
    for request, code in rejected:
        assert (await rejection(peers.edge.send(request))).code == code
