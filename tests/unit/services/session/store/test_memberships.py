"""How people get into groups, on both databases."""

import asyncio

import msgspec
import pytest

from services.session.domain import LOBBY
from services.session.store.memberships import AwaitingApproval, FinishedJoin, StartedJoin
from shared.contract.edge import MembershipAnswered, Notice
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import ChatEntry, ChatList, Member, PendingMembership
from shared.settings import Limits
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection

OPEN, APPROVAL, CLOSED = JoinPolicy.OPEN, JoinPolicy.APPROVAL, JoinPolicy.CLOSED


@pytest.fixture
async def people(world: StoreHarness) -> StoreHarness:
    """Ann, Bob, Cem and Dan are there; Ann and Bob are friends."""
    await world.add_profiles(ANN, BOB, CEM, DAN)
    await world.befriend(ANN, BOB)
    return world


# The lobby


async def test_joining_is_complete_when_it_is_known_what_is_unread(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    assert await world.join_lobby(ANN) == 2
    assert await world.list_chats(ANN) == ChatList([])
    assert (await world.changes(LOBBY)).members == [Member(ANN, Role.MEMBER, 1, 2, 0)]
    settled = await world.finish_join(ANN, unread_from=8)
    assert settled == FinishedJoin(3, Role.MEMBER, 1, MembershipAnswered(LOBBY, "Lobby", ANN, accepted=True), [ANN])
    assert await world.list_chats(ANN) == ChatList([ChatEntry(LOBBY, 1, 8)])
    assert (await world.changes(LOBBY)).members == [Member(ANN, Role.MEMBER, 1, 3, 8)]
    assert await world.members(LOBBY, ANN) == [ANN]


async def test_joining_and_completing_again_change_nothing(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    assert [await world.join_lobby(ANN), await world.join_lobby(ANN)] == [2, 2]
    assert [await world.finish_join(ANN, 8) is None, await world.finish_join(ANN, 9)] == [False, None]
    assert await world.join_lobby(ANN) == 3
    assert await world.list_chats(ANN) == ChatList([ChatEntry(LOBBY, 1, 8)])


async def test_a_deleted_account_does_not_join(world: StoreHarness) -> None:
    await world.erase(ANN)
    assert await world.join_lobby(ANN) is None
    assert await world.changes(LOBBY) == await world.changes(LOBBY, since=1)
    assert (await world.changes(LOBBY)).version == 1


async def test_many_join_at_once_each_with_a_version_and_a_seat_of_its_own(world: StoreHarness) -> None:
    people = [AccountId(number) for number in range(1, 21)]
    await world.add_profiles(*people)
    versions = await asyncio.gather(*(world.join_lobby(account) for account in people))
    assert sorted(version or 0 for version in versions) == list(range(2, 22))
    await asyncio.gather(*(world.finish_join(account) for account in people))
    assert (await world.changes(LOBBY)).version == 41
    by_version = sorted(people, key=lambda account: versions[people.index(account)] or 0)
    assert await world.members(LOBBY, ANN) == by_version
    assert (await world.chat(LOBBY, ANN)).updated == NOW + 40


# Ways in


async def test_an_open_group_is_joined_at_once(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, BOB, join_policy=OPEN, name="open")).id
    people.head = 5
    assert await people.request_membership(CEM, chat) == StartedJoin(2, "open")
    assert (await people.changes(chat, since=1)).members == [Member(CEM, Role.MEMBER, 6, 2, 0)]
    settled = await people.finish_join(CEM, 8, chat)
    assert settled is not None
    assert (settled.version, settled.first_index, settled.recipients) == (3, 1, [ANN, BOB, CEM])
    assert await people.entry(CEM, chat) == ChatEntry(chat, 1, 8)


async def test_a_newcomer_does_not_see_the_past_of_other_groups(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN)).id
    people.head = 5
    await people.add_member(ANN, chat, BOB)
    assert (await people.changes(chat, since=1)).members == [Member(BOB, Role.MEMBER, 6, 2, 0)]
    settled = await people.finish_join(BOB, 8, chat)
    assert settled is not None
    assert settled.first_index == 8
    assert (await people.changes(chat, since=1)).members == [Member(BOB, Role.MEMBER, 8, 3, 8)]


async def test_who_applies_waits_for_an_answer(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, BOB, join_policy=APPROVAL, name="g")).id
    assert await people.request_membership(CEM, chat, "please") == AwaitingApproval("g", [ANN])
    people.now += 1
    await people.request_membership(DAN, chat, "me too")
    await people.request_membership(CEM, chat, "pretty please")
    expected = [PendingMembership(CEM, chat, "pretty please"), PendingMembership(DAN, chat, "me too")]
    assert (await people.pending_requests(ANN)).memberships == expected
    assert (await people.pending_requests(ANN, most=1)).memberships == expected[:1]
    assert (await people.pending_requests(BOB)).memberships == []
    assert (await people.changes(chat)).version == 1


async def test_an_accepted_applicant_is_a_member(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, join_policy=APPROVAL, name="g")).id
    await people.request_membership(CEM, chat)
    assert await people.answer_membership_request(ANN, chat, CEM) == StartedJoin(2, "g")
    await people.finish_join(CEM, 5, chat)
    assert await people.members(chat, ANN) == [ANN, CEM]
    assert await people.entry(CEM, chat) == ChatEntry(chat, 5, 5)
    assert (await people.pending_requests(ANN)).memberships == []
    assert (await rejection(people.answer_membership_request(ANN, chat, CEM))).code == ErrorCode.NOT_FOUND


async def test_a_refused_applicant_may_apply_again(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, join_policy=APPROVAL, name="g")).id
    await people.request_membership(CEM, chat)
    refused = await people.answer_membership_request(ANN, chat, CEM, accept=False)
    assert isinstance(refused, MembershipAnswered)
    (kept,) = await people.pending_notices(CEM)
    assert refused == MembershipAnswered(chat, "g", CEM, accepted=False, kept={CEM: kept.number})
    assert (await rejection(people.answer_membership_request(ANN, chat, CEM))).code == ErrorCode.NOT_FOUND
    assert isinstance(await people.request_membership(CEM, chat), AwaitingApproval)


async def test_what_nobody_may_join(people: StoreHarness) -> None:
    closed = (await people.create_group(ANN, BOB)).id
    private = (await people.open_private(ANN, BOB))[0]
    codes = [(await rejection(people.request_membership(CEM, number))).code for number in (closed, private, ChatId(99))]
    assert codes == [ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND]
    await people.request_membership(CEM, LOBBY)
    await people.finish_join(CEM)
    assert (await rejection(people.request_membership(CEM, LOBBY))).code == ErrorCode.CONFLICT
    assert (await rejection(people.request_membership(EVE, LOBBY))).code == ErrorCode.NOT_FOUND


async def test_only_owner_and_admins_decide(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, BOB, join_policy=APPROVAL)).id
    await people.befriend(BOB, DAN)
    await people.request_membership(CEM, chat)
    refusals = [
        await rejection(people.answer_membership_request(BOB, chat, CEM)),
        await rejection(people.answer_membership_request(DAN, chat, CEM)),
        await rejection(people.answer_membership_request(CEM, chat, CEM)),
        await rejection(people.add_member(BOB, chat, DAN)),
        await rejection(people.add_member(DAN, chat, BOB)),
    ]
    assert {failure.code for failure in refusals} == {ErrorCode.FORBIDDEN}
    assert (await rejection(people.answer_membership_request(ANN, ChatId(99), CEM))).code == ErrorCode.NOT_FOUND
    assert (await people.changes(chat)).version == 1


async def test_friends_are_pulled_in_and_applicants_accepted_so(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, join_policy=APPROVAL)).id
    assert (await rejection(people.add_member(ANN, chat, CEM))).code == ErrorCode.FORBIDDEN
    assert (await rejection(people.add_member(ANN, chat, EVE))).code == ErrorCode.NOT_FOUND
    await people.request_membership(CEM, chat)
    for account in (BOB, CEM):
        await people.add_member(ANN, chat, account)
        await people.finish_join(account, 1, chat)
    assert (await rejection(people.add_member(ANN, chat, BOB))).code == ErrorCode.CONFLICT
    assert (await people.pending_requests(ANN)).memberships == []
    assert await people.members(chat, BOB) == [ANN, BOB, CEM]


async def test_a_full_group_takes_nobody_and_the_application_stays(people: StoreHarness) -> None:
    people.limits = Limits(members_per_group=2)
    chat = (await people.create_group(ANN, join_policy=APPROVAL)).id
    for account in (CEM, DAN):
        await people.request_membership(account, chat)
    await people.add_member(ANN, chat, BOB)
    assert (await rejection(people.answer_membership_request(ANN, chat, CEM))).code == ErrorCode.LIMIT
    assert len((await people.pending_requests(ANN)).memberships) == 2
    await people.delete_requests(CEM)
    assert (await rejection(people.request_membership(CEM, chat))).code == ErrorCode.LIMIT


async def test_the_last_place_is_given_once(people: StoreHarness) -> None:
    people.limits = Limits(members_per_group=2)
    chat = (await people.create_group(ANN, join_policy=OPEN)).id
    results = await asyncio.gather(*(people.request_membership(one, chat) for one in (BOB, CEM, DAN)), return_exceptions=True)
    assert sum(isinstance(result, StartedJoin) for result in results) == 1
    assert [one.failure.code for one in results if isinstance(one, RequestError)] == [ErrorCode.LIMIT] * 2


async def test_nobody_is_in_too_many_groups(people: StoreHarness) -> None:
    people.limits = Limits(chats_per_account=1)
    first, second = [(await people.create_group(owner, join_policy=OPEN)).id for owner in (ANN, BOB)]
    await people.open_private(CEM, DAN)
    await people.request_membership(CEM, first)
    assert (await rejection(people.request_membership(CEM, second))).code == ErrorCode.LIMIT


async def test_of_two_answers_at_once_one_counts(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, join_policy=APPROVAL)).id
    await people.request_membership(CEM, chat)
    answers = [people.answer_membership_request(ANN, chat, CEM, accept) for accept in (True, False)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    accepted, refused = results
    if isinstance(accepted, StartedJoin):
        assert await people.unfinished_joins(CEM) == {chat: 2}
    else:
        assert isinstance(refused, MembershipAnswered)
        assert await people.unfinished_joins(CEM) == {}
    assert (await people.pending_requests(ANN)).memberships == []


async def test_whoever_is_accepted_while_it_is_deleted_is_no_member(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, join_policy=APPROVAL)).id
    await people.request_membership(CEM, chat)

    async def delete() -> None:
        await people.erase(CEM)
        await people.leave_all_chats(CEM)
        await people.delete_requests(CEM)

    await asyncio.gather(people.answer_membership_request(ANN, chat, CEM), delete(), return_exceptions=True)
    assert await people.finish_join(CEM, 1, chat) is None
    assert await people.members(chat, ANN) == [ANN]
    assert (await people.pending_requests(ANN)).memberships == []


# Completing


async def test_an_interrupted_join_is_completed_by_asking_again(people: StoreHarness) -> None:
    opened = (await people.create_group(ANN, join_policy=OPEN, name="o")).id
    asked = (await people.create_group(ANN, join_policy=APPROVAL, name="a")).id
    pulled = (await people.create_group(ANN, name="p")).id
    await people.request_membership(BOB, opened)
    await people.request_membership(BOB, asked)
    await people.answer_membership_request(ANN, asked, BOB)
    await people.add_member(ANN, pulled, BOB)
    assert await people.unfinished_joins(BOB) == {opened: 2, asked: 2, pulled: 2}
    assert await people.request_membership(BOB, opened) == StartedJoin(2, "o")
    assert await people.answer_membership_request(ANN, asked, BOB) == StartedJoin(2, "a")
    assert await people.add_member(ANN, pulled, BOB) == StartedJoin(2, "p")
    for chat in (opened, asked, pulled):
        assert await people.finish_join(BOB, 3, chat) is not None
        assert await people.finish_join(BOB, 4, chat) is None
    assert await people.unfinished_joins(BOB) == {}
    assert [entry.unread_from for entry in (await people.list_chats(BOB)).entries] == [3, 3, 3]


async def test_who_inherits_a_group_while_it_joins_owns_it(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, join_policy=OPEN)).id
    await people.request_membership(BOB, chat)
    await people.leave_all_chats(ANN)
    settled = await people.finish_join(BOB, 3, chat)
    assert settled is not None
    assert (settled.role, (await people.chat(chat, BOB)).owner) == (Role.OWNER, BOB)


async def test_everybody_in_the_group_keeps_the_notice_of_a_newcomer(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, BOB, join_policy=OPEN, name="g")).id
    before = [(await people.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    await people.request_membership(CEM, chat)
    settled = await people.finish_join(CEM, 1, chat)
    assert settled is not None
    assert sorted(settled.answered.kept) == [ANN, BOB, CEM]
    for account, number in settled.answered.kept.items():
        kept = (await people.pending_notices(account))[-1]
        assert kept.number == number
        notice = msgspec.msgpack.decode(kept.notice, type=Notice)
        assert notice == MembershipAnswered(chat, "g", CEM, accepted=True)
    after = [(await people.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 1]


async def test_where_many_are_only_the_newcomer_keeps_a_notice(people: StoreHarness) -> None:
    chat = (await people.create_group(ANN, BOB, join_policy=OPEN)).id
    before = await people.profile(ANN)
    await people.request_membership(CEM, chat)
    settled = await people.finish_join(CEM, 1, chat, broadcast_from=3)
    assert settled is not None
    assert (list(settled.answered.kept), settled.recipients) == ([CEM], None)
    assert await people.profile(ANN) == before
