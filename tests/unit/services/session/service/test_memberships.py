"""Tests how users join groups, by requests over a real NATS, with a real Valkey."""

import asyncio

import msgspec
import pytest

from services.session.service import memberships
from shared.contract.contacts import ListRequests, PendingMembership
from shared.contract.edge import EdgeEvent, JoinedAt, MembershipAnswered, MembershipApplied, MembershipChanged, Notify
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import (
    AddMember,
    AddMembers,
    AnswerMembership,
    BanMember,
    CreateLink,
    DeleteLink,
    DisbandChat,
    EndMembership,
    JoinByLink,
    JoinedByLink,
    ListLinks,
    ListMembers,
    MemberList,
    MemberRole,
    MembershipRequested,
    RequestMembership,
    SetChat,
    SetRole,
    SilenceMember,
    UnbanMember,
)
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import ChatEntry, ChatVersion, EnsureProfile, GetChat, ListChats, RenameChat
from shared.contract.subjects import notify
from tests.unit.services.session.service_harness import ANN, BOB, CEM, DAN, LOBBY, A, B, BusPeers, rejection

OPEN, APPROVAL = JoinPolicy.OPEN, JoinPolicy.APPROVAL


async def apply(peers: BusPeers, actor: AccountId, chat: ChatId, text: str = "hi") -> MembershipRequested:
    return await peers.edge.send(RequestMembership(chat, text, actor=actor))


async def answer(
    peers: BusPeers, actor: AccountId, chat: ChatId, applicant: AccountId, accept: bool = True
) -> ChatVersion:
    return await peers.edge.send(AnswerMembership(chat, applicant, accept, actor=actor))


async def entry(peers: BusPeers, account: AccountId, chat: ChatId) -> ChatEntry | None:
    found = await peers.message.send(ListChats(account))
    return next((one for one in found.entries if one.chat == chat), None)


async def log_in(peers: BusPeers, account: AccountId) -> None:
    seed = EnsureProfile(account=account, uuid=f"u{account}", nickname="")
    await peers.edge.send(seed)


async def test_join_is_finished_before_the_reply_and_all_members_notified(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN, name="g", join_policy=OPEN)).chat.id
    peers.heads[chat], peers.revs[chat] = 6, 2
    assert await apply(peers, CEM, chat) == MembershipRequested(joined=True, name="g", version=3)
    assert await entry(peers, CEM, chat) == ChatEntry(chat, 1, 7)
    assert await peers.version(chat) == (await peers.changes(chat)).version == 3
    stored = (await peers.pending_events(BOB))[-1]
    (time,) = await peers.happened(chat)
    answered = MembershipAnswered(chat, "g", CEM, accepted=True, kept={BOB: stored.number}, version=3, time=time)
    changed = MembershipChanged(chat, CEM, Role.MEMBER, 1, 3, since=1, joined_at=JoinedAt(6, 2))
    assert (await peers.wait_for_events(notify(B), 3))[1:] == [Notify(changed, [BOB]), Notify(answered, [BOB])]
    (own,) = await peers.pending_events(CEM)
    event = msgspec.msgpack.decode(own.event, type=EdgeEvent)
    assert event == MembershipAnswered(chat, "g", CEM, accepted=True, version=3, time=time)


async def test_owner_is_notified_of_a_request_and_applicant_of_the_answer(peers: BusPeers) -> None:
    chat = (await peers.create(actor=BOB, name="g", join_policy=APPROVAL)).chat.id
    peers.heads[chat] = 6
    assert await apply(peers, ANN, chat, "please") == MembershipRequested(joined=False, name="")
    assert (await peers.wait_for_events(notify(B), 2))[1] == Notify(MembershipApplied(ANN, chat, "please"), [BOB])
    pending = await peers.edge.send(ListRequests(actor=BOB))
    assert pending.memberships == [PendingMembership(ANN, chat, "please")]
    await answer(peers, BOB, chat, ANN, accept=False)
    (stored,) = await peers.pending_events(ANN)
    rejected = MembershipAnswered(chat, "", ANN, accepted=False, kept={ANN: stored.number})
    assert (await peers.wait_for_events(notify(A), 3))[2] == Notify(rejected, [ANN])
    assert len(peers.events[notify(B)]) == 2
    await apply(peers, ANN, chat)
    await answer(peers, BOB, chat, ANN)
    assert await entry(peers, ANN, chat) == ChatEntry(chat, 7, 7)
    assert (await rejection(answer(peers, BOB, chat, ANN))).code == ErrorCode.NOT_FOUND


async def test_several_are_added_by_one_request(peers: BusPeers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dan is not a friend, and account 9 does not exist. Each transaction finishes one join."""
    monkeypatch.setattr(memberships, "_FINISHED_AT_ONCE", 1)
    await peers.register(DAN)
    chat = (await peers.create(actor=ANN, name="g")).chat.id
    for friend in (BOB, CEM):
        await peers.befriend(ANN, friend)
    before = len(peers.events[notify(B)])
    peers.heads[chat] = 4
    add = AddMembers(chat, [CEM, DAN, BOB, AccountId(9), CEM, ANN], actor=ANN)
    added = await peers.edge.send(add)
    assert (added.added, added.version) == ([CEM, BOB, ANN], 5)
    codes = {account: failure.code for account, failure in added.rejected.items()}
    assert codes == {DAN: ErrorCode.FORBIDDEN, AccountId(9): ErrorCode.NOT_FOUND}
    assert [await entry(peers, one, chat) for one in (BOB, CEM)] == [ChatEntry(chat, 5, 5)] * 2
    assert await peers.version(chat) == (await peers.changes(chat)).version == 5
    events = [one.event for one in await peers.wait_for_events(notify(B), before + 4)][before:]
    joined = [one for one in events if isinstance(one, MembershipChanged)]
    assert joined == [
        MembershipChanged(chat, account, Role.MEMBER, 5, version, since=version - 1, joined_at=JoinedAt(4, 0))
        for account, version in ((CEM, 4), (BOB, 5))
    ]
    assert [one.account for one in events if isinstance(one, MembershipAnswered)] == [CEM, BOB]
    again = await peers.edge.send(add)
    assert (again.added, again.version) == ([CEM, BOB, ANN], 5)
    too_many = AddMembers(chat, [AccountId(number) for number in range(1, 102)], actor=ANN)
    assert (await rejection(peers.edge.send(too_many))).code == ErrorCode.LIMIT
    stranger = AddMembers(chat, [BOB], actor=DAN)
    assert (await rejection(peers.edge.send(stranger))).code == ErrorCode.FORBIDDEN


async def test_interrupted_additions_are_finished_by_the_same_request(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN)).chat.id
    for friend in (BOB, CEM):
        await peers.befriend(ANN, friend)
    add = AddMembers(chat, [BOB, CEM], actor=ANN)
    peers.head_replies_left = 1
    assert (await rejection(peers.edge.send(add))).code == ErrorCode.UNAVAILABLE
    assert await entry(peers, BOB, chat) is None
    assert await peers.version(chat) == 3
    peers.head_replies_left, peers.heads[chat] = None, 4
    replies = await asyncio.gather(*(peers.edge.send(add) for _ in range(3)))
    assert all(one.added == [BOB, CEM] and not one.rejected for one in replies)
    assert [await entry(peers, one, chat) for one in (BOB, CEM)] == [ChatEntry(chat, 5, 5)] * 2
    assert (await peers.changes(chat)).version == 5


async def test_removed_member_and_remaining_ones_are_notified(peers: BusPeers) -> None:
    """Ann is on node A, and Bob is on A and B."""
    chat = (await peers.create(BOB, CEM, actor=ANN)).chat.id
    await peers.edge.send(EndMembership(chat, BOB, actor=ANN))
    assert await peers.version(chat) == (await peers.changes(chat)).version == 2
    assert await entry(peers, BOB, chat) is None
    (time,) = await peers.happened(chat)
    removed = MembershipChanged(chat, BOB, Role.LEFT, 0, 2, by=ANN, time=time)
    assert (await peers.wait_for_events(notify(A), 2))[1] == Notify(removed, [BOB, ANN])
    assert (await peers.wait_for_events(notify(B), 2))[1] == Notify(removed, [BOB])
    await peers.edge.send(EndMembership(chat, ANN, actor=ANN))
    _, time = await peers.happened(chat, CEM)
    left = MembershipChanged(chat, ANN, Role.LEFT, 0, 3, by=ANN, time=time)
    assert (await peers.wait_for_events(notify(A), 3))[2] == Notify(left, [ANN])
    assert (await peers.edge.send(GetChat(chat, actor=CEM))).chat.owner == CEM


async def test_new_roles_are_notified(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN)).chat.id
    await peers.edge.send(SetRole(chat, BOB, Role.OWNER, actor=ANN))
    assert await peers.version(chat) == 2
    events = [one.event for one in await peers.wait_for_events(notify(B), 3)]
    assert events[1:] == [
        MembershipChanged(chat, BOB, Role.OWNER, 1, 2, by=ANN), MembershipChanged(chat, ANN, Role.ADMIN, 1, 2, by=ANN)
    ]  # fmt: skip
    listed = await peers.edge.send(ListMembers(chat, actor=ANN))
    assert listed == MemberList([MemberRole(ANN, Role.ADMIN, 0, "n1"), MemberRole(BOB, Role.OWNER, 0, "n2")], version=2)
    failed = await rejection(peers.edge.send(SetRole(chat, ANN, Role.LEFT, actor=BOB)))
    assert failed.code == ErrorCode.INVALID


async def test_replies_have_the_version_of_the_chat(peers: BusPeers) -> None:
    """A reply has the version even if nothing has changed."""
    chat = (await peers.create(BOB, actor=ANN, join_policy=APPROVAL)).chat.id
    send = peers.edge.send
    admin = SetRole(chat, BOB, Role.ADMIN, actor=ANN)
    assert [(await send(admin)).version for _ in range(2)] == [2, 2]
    await apply(peers, CEM, chat)
    assert await answer(peers, ANN, chat, CEM, accept=False) == ChatVersion(0)
    await apply(peers, CEM, chat)
    assert await answer(peers, ANN, chat, CEM) == ChatVersion(4)
    assert (await send(SilenceMember(chat, CEM, 2**52, actor=ANN))).version == 5
    assert (await send(RenameChat(chat, "Fruit", actor=ANN))).version == 5
    assert (await send(SetChat(chat, topic="Apples", actor=ANN))).version == 5
    bans = [(await send(BanMember(chat, CEM, actor=ANN))).version for _ in range(2)]
    assert bans == [6, 6]
    unbans = [(await send(UnbanMember(chat, CEM, actor=ANN))).version for _ in range(2)]
    assert unbans == [7, 7]
    assert (await send(EndMembership(chat, BOB, actor=BOB))).version == 8
    await peers.befriend(ANN, BOB)
    assert (await send(AddMember(chat, BOB, actor=ANN))).version == 10
    assert (await send(ListMembers(chat, actor=ANN))).version == 10
    assert (await send(DisbandChat(chat, actor=ANN))).version == 11


async def test_a_join_by_a_link_is_notified(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN, name="Fruit")).chat.id
    peers.heads[chat] = 4
    link = (await peers.edge.send(CreateLink(chat, actor=ANN))).link
    assert len(link) == 22
    assert await peers.edge.send(JoinByLink(link, actor=BOB)) == JoinedByLink(chat, "Fruit", 3)
    assert await entry(peers, BOB, chat) == ChatEntry(chat, 5, 5)
    await peers.edge.send(DeleteLink(chat, link, actor=ANN))
    assert (await peers.edge.send(ListLinks(chat, actor=ANN))).links == []
    failed = await rejection(peers.edge.send(JoinByLink(link, actor=CEM)))
    assert failed.code == ErrorCode.NOT_FOUND
    for request in (JoinByLink("x" * 65, actor=CEM), JoinByLink("\0", actor=CEM)):
        assert (await rejection(peers.edge.send(request))).field == "link"
    invalid = await rejection(peers.edge.send(CreateLink(chat, -1, actor=ANN)))
    assert invalid.code == ErrorCode.INVALID


async def test_interrupted_join_is_finished_at_the_next_login(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN, join_policy=APPROVAL)).chat.id
    await apply(peers, CEM, chat)
    peers.head_replies_left = 1
    assert (await rejection(answer(peers, ANN, chat, CEM))).code == ErrorCode.UNAVAILABLE
    assert await entry(peers, CEM, chat) is None
    assert await peers.version(chat) == 2
    peers.head_replies_left = None
    peers.heads[chat] = 4
    await log_in(peers, CEM)
    assert await entry(peers, CEM, chat) == ChatEntry(chat, 5, 5)
    assert await peers.version(chat) == 3
    await log_in(peers, CEM)
    assert (await peers.changes(chat)).version == 3


async def test_no_join_starts_while_message_service_is_unavailable(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN, join_policy=OPEN)).chat.id
    peers.head_replies_left = 0
    assert (await rejection(apply(peers, CEM, chat))).code == ErrorCode.UNAVAILABLE
    assert (await peers.changes(chat)).version == 1


async def test_invalid_membership_request_is_rejected(peers: BusPeers) -> None:
    rejected = [
        (RequestMembership(ChatId(9)), ErrorCode.UNAUTHENTICATED),
        (RequestMembership(ChatId(9), "", actor=ANN), ErrorCode.NOT_FOUND),
        (RequestMembership(ChatId(2**63), "", actor=ANN), ErrorCode.NOT_FOUND),
        (RequestMembership(LOBBY, "x" * 1_001, actor=ANN), ErrorCode.TOO_LARGE),
        (RequestMembership(LOBBY, "\0", actor=ANN), ErrorCode.INVALID),
    ]
    for request, code in rejected:
        assert (await rejection(peers.edge.send(request))).code == code
