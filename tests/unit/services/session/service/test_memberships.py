"""Joining groups, over the real bus, with a real Valkey."""

import msgspec
import pytest

from shared.contract import subjects as on
from shared.contract.edge import MembershipAnswered, MembershipApplied, MembershipChanged, Notice, Notify
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import (
    Ack,
    AddMember,
    AnswerMembership,
    ChatEntry,
    EnsureProfile,
    ListChats,
    ListRequests,
    MembershipRequested,
    PendingMembership,
    RequestMembership,
)
from shared.contract.subjects import notify
from tests.unit.services.session.service_harness import ANN, BOB, CEM, LOBBY, A, B, BusPeers, rejection

OPEN, APPROVAL = JoinPolicy.OPEN, JoinPolicy.APPROVAL


async def apply(peers: BusPeers, actor: AccountId, chat: ChatId, text: str = "hi") -> MembershipRequested:
    return await peers.edge.request(on.REQUEST_MEMBERSHIP, RequestMembership(chat, text, actor))


async def answer(peers: BusPeers, actor: AccountId, chat: ChatId, applicant: AccountId, accept: bool = True) -> Ack:
    return await peers.edge.request(on.ANSWER_MEMBERSHIP, AnswerMembership(chat, applicant, accept, actor))


async def entry(peers: BusPeers, account: AccountId, chat: ChatId) -> ChatEntry | None:
    found = await peers.message.request(on.LIST_CHATS, ListChats(account))
    return next((one for one in found.entries if one.chat == chat), None)


async def log_in(peers: BusPeers, account: AccountId) -> None:
    seed = EnsureProfile(account=account, uuid=f"u{account}", nickname="")
    await peers.edge.request(on.ENSURE_PROFILE, seed)


async def test_join_is_finished_before_the_reply_and_all_members_notified(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN, name="g", join_policy=OPEN)).chat.id
    peers.heads[chat] = 6
    assert await apply(peers, CEM, chat) == MembershipRequested(joined=True, name="g")
    assert await entry(peers, CEM, chat) == ChatEntry(chat, 1, 7)
    assert await peers.version(chat) == (await peers.changes(chat)).version == 3
    stored = (await peers.pending_notices(BOB))[-1]
    answered = MembershipAnswered(chat, "g", CEM, accepted=True, kept={BOB: stored.number})
    changed = MembershipChanged(chat, CEM, Role.MEMBER, 1, 3, since=1)
    assert (await peers.wait_for_notices(notify(B), 3))[1:] == [Notify(changed, [BOB]), Notify(answered, [BOB])]
    (own,) = await peers.pending_notices(CEM)
    notice = msgspec.msgpack.decode(own.notice, type=Notice)
    assert notice == MembershipAnswered(chat, "g", CEM, accepted=True)


async def test_owner_is_notified_of_a_request_and_applicant_of_the_answer(peers: BusPeers) -> None:
    chat = (await peers.create(actor=BOB, name="g", join_policy=APPROVAL)).chat.id
    peers.heads[chat] = 6
    assert await apply(peers, ANN, chat, "please") == MembershipRequested(joined=False, name="g")
    assert (await peers.wait_for_notices(notify(B), 2))[1] == Notify(MembershipApplied(ANN, chat, "please"), [BOB])
    pending = await peers.edge.request(on.LIST_REQUESTS, ListRequests(BOB))
    assert pending.memberships == [PendingMembership(ANN, chat, "please")]
    await answer(peers, BOB, chat, ANN, accept=False)
    (stored,) = await peers.pending_notices(ANN)
    rejected = MembershipAnswered(chat, "g", ANN, accepted=False, kept={ANN: stored.number})
    assert (await peers.wait_for_notices(notify(A), 3))[2] == Notify(rejected, [ANN])
    assert len(peers.notices[notify(B)]) == 2
    await apply(peers, ANN, chat)
    await answer(peers, BOB, chat, ANN)
    assert await entry(peers, ANN, chat) == ChatEntry(chat, 7, 7)
    assert (await rejection(answer(peers, BOB, chat, ANN))).code == ErrorCode.NOT_FOUND


async def test_admin_adds_a_friend(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN)).chat.id
    add = AddMember(chat, CEM, ANN)
    assert (await rejection(peers.edge.request(on.ADD_MEMBER, add))).code == ErrorCode.FORBIDDEN
    await peers.befriend(ANN, CEM)
    await peers.edge.request(on.ADD_MEMBER, add)
    assert await entry(peers, CEM, chat) == ChatEntry(chat, 1, 1)
    assert (await rejection(peers.edge.request(on.ADD_MEMBER, add))).code == ErrorCode.CONFLICT


async def test_any_account_can_join_the_lobby(peers: BusPeers) -> None:
    peers.heads[LOBBY] = 9
    assert (await apply(peers, BOB, LOBBY)).joined
    assert await entry(peers, BOB, LOBBY) == ChatEntry(LOBBY, 1, 10)
    assert (await peers.wait_for_notices(notify(B), 2))[1].notice == MembershipAnswered(
        LOBBY, "Lobby", BOB, accepted=True
    )


@pytest.mark.parametrize("way", ["again", "login"])
async def test_interrupted_join_is_finished(peers: BusPeers, way: str) -> None:
    chat = (await peers.create(actor=ANN, join_policy=APPROVAL)).chat.id
    await apply(peers, CEM, chat)
    peers.head_replies_left = 1
    assert (await rejection(answer(peers, ANN, chat, CEM))).code == ErrorCode.UNAVAILABLE
    assert await entry(peers, CEM, chat) is None
    assert await peers.version(chat) == 2
    peers.head_replies_left = None
    peers.heads[chat] = 4
    if way == "again":
        await answer(peers, ANN, chat, CEM)
    else:
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
        (RequestMembership(ChatId(9), "", ANN), ErrorCode.NOT_FOUND),
        (RequestMembership(ChatId(2**63), "", ANN), ErrorCode.NOT_FOUND),
        (RequestMembership(LOBBY, "x" * 1_001, ANN), ErrorCode.TOO_LARGE),
        (RequestMembership(LOBBY, "\0", ANN), ErrorCode.INVALID),
    ]
    for request, code in rejected:
        assert (await rejection(peers.edge.request(on.REQUEST_MEMBERSHIP, request))).code == code
