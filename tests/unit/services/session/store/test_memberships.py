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
from tests.unit.services.session.world import ANN, BOB, CEM, DAN, EVE, NOW, World, refusal

OPEN, APPROVAL, CLOSED = JoinPolicy.OPEN, JoinPolicy.APPROVAL, JoinPolicy.CLOSED


@pytest.fixture
async def people(world: World) -> World:
    """Ann, Bob, Cem and Dan are there; Ann and Bob are friends."""
    await world.people(ANN, BOB, CEM, DAN)
    await world.befriend(ANN, BOB)
    return world


# The lobby


async def test_joining_is_complete_when_it_is_known_what_is_unread(world: World) -> None:
    await world.people(ANN)
    assert await world.enter_lobby(ANN) == 2
    assert await world.entries(ANN) == ChatList([])
    assert (await world.changes(LOBBY)).members == [Member(ANN, Role.MEMBER, 1, 2, 0)]
    settled = await world.settle(ANN, unread_from=8)
    assert settled == FinishedJoin(3, Role.MEMBER, 1, MembershipAnswered(LOBBY, "Lobby", ANN, accepted=True), [ANN])
    assert await world.entries(ANN) == ChatList([ChatEntry(LOBBY, 1, 8)])
    assert (await world.changes(LOBBY)).members == [Member(ANN, Role.MEMBER, 1, 3, 8)]
    assert await world.members(LOBBY, ANN) == [ANN]


async def test_joining_and_completing_again_change_nothing(world: World) -> None:
    await world.people(ANN)
    assert [await world.enter_lobby(ANN), await world.enter_lobby(ANN)] == [2, 2]
    assert [await world.settle(ANN, 8) is None, await world.settle(ANN, 9)] == [False, None]
    assert await world.enter_lobby(ANN) == 3
    assert await world.entries(ANN) == ChatList([ChatEntry(LOBBY, 1, 8)])


async def test_a_deleted_account_does_not_join(world: World) -> None:
    await world.erase(ANN)
    assert await world.enter_lobby(ANN) is None
    assert await world.changes(LOBBY) == await world.changes(LOBBY, since=1)
    assert (await world.changes(LOBBY)).version == 1


async def test_many_join_at_once_each_with_a_version_and_a_seat_of_its_own(world: World) -> None:
    people = [AccountId(number) for number in range(1, 21)]
    await world.people(*people)
    versions = await asyncio.gather(*(world.enter_lobby(account) for account in people))
    assert sorted(version or 0 for version in versions) == list(range(2, 22))
    await asyncio.gather(*(world.settle(account) for account in people))
    assert (await world.changes(LOBBY)).version == 41
    by_version = sorted(people, key=lambda account: versions[people.index(account)] or 0)
    assert await world.members(LOBBY, ANN) == by_version
    assert (await world.chat(LOBBY, ANN)).updated == NOW + 40


# Ways in


async def test_an_open_group_is_joined_at_once(people: World) -> None:
    chat = (await people.group(ANN, BOB, join_policy=OPEN, name="open")).id
    people.head = 5
    assert await people.ask_to_join(CEM, chat) == StartedJoin(2, "open")
    assert (await people.changes(chat, since=1)).members == [Member(CEM, Role.MEMBER, 6, 2, 0)]
    settled = await people.settle(CEM, 8, chat)
    assert settled is not None
    assert (settled.version, settled.first_index, settled.recipients) == (3, 1, [ANN, BOB, CEM])
    assert await people.entry(CEM, chat) == ChatEntry(chat, 1, 8)


async def test_a_newcomer_does_not_see_the_past_of_other_groups(people: World) -> None:
    chat = (await people.group(ANN)).id
    people.head = 5
    await people.pull_in(ANN, chat, BOB)
    assert (await people.changes(chat, since=1)).members == [Member(BOB, Role.MEMBER, 6, 2, 0)]
    settled = await people.settle(BOB, 8, chat)
    assert settled is not None
    assert settled.first_index == 8
    assert (await people.changes(chat, since=1)).members == [Member(BOB, Role.MEMBER, 8, 3, 8)]


async def test_who_applies_waits_for_an_answer(people: World) -> None:
    chat = (await people.group(ANN, BOB, join_policy=APPROVAL, name="g")).id
    assert await people.ask_to_join(CEM, chat, "please") == AwaitingApproval("g", [ANN])
    people.now += 1
    await people.ask_to_join(DAN, chat, "me too")
    await people.ask_to_join(CEM, chat, "pretty please")
    expected = [PendingMembership(CEM, chat, "pretty please"), PendingMembership(DAN, chat, "me too")]
    assert (await people.pending(ANN)).memberships == expected
    assert (await people.pending(ANN, most=1)).memberships == expected[:1]
    assert (await people.pending(BOB)).memberships == []
    assert (await people.changes(chat)).version == 1


async def test_an_accepted_applicant_is_a_member(people: World) -> None:
    chat = (await people.group(ANN, join_policy=APPROVAL, name="g")).id
    await people.ask_to_join(CEM, chat)
    assert await people.answer_member(ANN, chat, CEM) == StartedJoin(2, "g")
    await people.settle(CEM, 5, chat)
    assert await people.members(chat, ANN) == [ANN, CEM]
    assert await people.entry(CEM, chat) == ChatEntry(chat, 5, 5)
    assert (await people.pending(ANN)).memberships == []
    assert (await refusal(people.answer_member(ANN, chat, CEM))).code == ErrorCode.NOT_FOUND


async def test_a_refused_applicant_may_apply_again(people: World) -> None:
    chat = (await people.group(ANN, join_policy=APPROVAL, name="g")).id
    await people.ask_to_join(CEM, chat)
    refused = await people.answer_member(ANN, chat, CEM, accept=False)
    assert isinstance(refused, MembershipAnswered)
    (kept,) = await people.kept(CEM)
    assert refused == MembershipAnswered(chat, "g", CEM, accepted=False, kept={CEM: kept.number})
    assert (await refusal(people.answer_member(ANN, chat, CEM))).code == ErrorCode.NOT_FOUND
    assert isinstance(await people.ask_to_join(CEM, chat), AwaitingApproval)


async def test_what_nobody_may_join(people: World) -> None:
    closed = (await people.group(ANN, BOB)).id
    private = (await people.private(ANN, BOB))[0]
    codes = [(await refusal(people.ask_to_join(CEM, number))).code for number in (closed, private, ChatId(99))]
    assert codes == [ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND]
    await people.ask_to_join(CEM, LOBBY)
    await people.settle(CEM)
    assert (await refusal(people.ask_to_join(CEM, LOBBY))).code == ErrorCode.CONFLICT
    assert (await refusal(people.ask_to_join(EVE, LOBBY))).code == ErrorCode.NOT_FOUND


async def test_only_owner_and_admins_decide(people: World) -> None:
    chat = (await people.group(ANN, BOB, join_policy=APPROVAL)).id
    await people.befriend(BOB, DAN)
    await people.ask_to_join(CEM, chat)
    refusals = [
        await refusal(people.answer_member(BOB, chat, CEM)),
        await refusal(people.answer_member(DAN, chat, CEM)),
        await refusal(people.answer_member(CEM, chat, CEM)),
        await refusal(people.pull_in(BOB, chat, DAN)),
        await refusal(people.pull_in(DAN, chat, BOB)),
    ]
    assert {failure.code for failure in refusals} == {ErrorCode.FORBIDDEN}
    assert (await refusal(people.answer_member(ANN, ChatId(99), CEM))).code == ErrorCode.NOT_FOUND
    assert (await people.changes(chat)).version == 1


async def test_friends_are_pulled_in_and_applicants_accepted_so(people: World) -> None:
    chat = (await people.group(ANN, join_policy=APPROVAL)).id
    assert (await refusal(people.pull_in(ANN, chat, CEM))).code == ErrorCode.FORBIDDEN
    assert (await refusal(people.pull_in(ANN, chat, EVE))).code == ErrorCode.NOT_FOUND
    await people.ask_to_join(CEM, chat)
    for account in (BOB, CEM):
        await people.pull_in(ANN, chat, account)
        await people.settle(account, 1, chat)
    assert (await refusal(people.pull_in(ANN, chat, BOB))).code == ErrorCode.CONFLICT
    assert (await people.pending(ANN)).memberships == []
    assert await people.members(chat, BOB) == [ANN, BOB, CEM]


async def test_a_full_group_takes_nobody_and_the_application_stays(people: World) -> None:
    people.limits = Limits(members_per_group=2)
    chat = (await people.group(ANN, join_policy=APPROVAL)).id
    for account in (CEM, DAN):
        await people.ask_to_join(account, chat)
    await people.pull_in(ANN, chat, BOB)
    assert (await refusal(people.answer_member(ANN, chat, CEM))).code == ErrorCode.LIMIT
    assert len((await people.pending(ANN)).memberships) == 2
    await people.end_requests(CEM)
    assert (await refusal(people.ask_to_join(CEM, chat))).code == ErrorCode.LIMIT


async def test_the_last_place_is_given_once(people: World) -> None:
    people.limits = Limits(members_per_group=2)
    chat = (await people.group(ANN, join_policy=OPEN)).id
    results = await asyncio.gather(*(people.ask_to_join(one, chat) for one in (BOB, CEM, DAN)), return_exceptions=True)
    assert sum(isinstance(result, StartedJoin) for result in results) == 1
    assert [one.failure.code for one in results if isinstance(one, RequestError)] == [ErrorCode.LIMIT] * 2


async def test_nobody_is_in_too_many_groups(people: World) -> None:
    people.limits = Limits(chats_per_account=1)
    first, second = [(await people.group(owner, join_policy=OPEN)).id for owner in (ANN, BOB)]
    await people.private(CEM, DAN)
    await people.ask_to_join(CEM, first)
    assert (await refusal(people.ask_to_join(CEM, second))).code == ErrorCode.LIMIT


async def test_of_two_answers_at_once_one_counts(people: World) -> None:
    chat = (await people.group(ANN, join_policy=APPROVAL)).id
    await people.ask_to_join(CEM, chat)
    answers = [people.answer_member(ANN, chat, CEM, accept) for accept in (True, False)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    accepted, refused = results
    if isinstance(accepted, StartedJoin):
        assert await people.unsettled(CEM) == {chat: 2}
    else:
        assert isinstance(refused, MembershipAnswered)
        assert await people.unsettled(CEM) == {}
    assert (await people.pending(ANN)).memberships == []


async def test_whoever_is_accepted_while_it_is_deleted_is_no_member(people: World) -> None:
    chat = (await people.group(ANN, join_policy=APPROVAL)).id
    await people.ask_to_join(CEM, chat)

    async def delete() -> None:
        await people.erase(CEM)
        await people.leave_all(CEM)
        await people.end_requests(CEM)

    await asyncio.gather(people.answer_member(ANN, chat, CEM), delete(), return_exceptions=True)
    assert await people.settle(CEM, 1, chat) is None
    assert await people.members(chat, ANN) == [ANN]
    assert (await people.pending(ANN)).memberships == []


# Completing


async def test_an_interrupted_join_is_completed_by_asking_again(people: World) -> None:
    opened = (await people.group(ANN, join_policy=OPEN, name="o")).id
    asked = (await people.group(ANN, join_policy=APPROVAL, name="a")).id
    pulled = (await people.group(ANN, name="p")).id
    await people.ask_to_join(BOB, opened)
    await people.ask_to_join(BOB, asked)
    await people.answer_member(ANN, asked, BOB)
    await people.pull_in(ANN, pulled, BOB)
    assert await people.unsettled(BOB) == {opened: 2, asked: 2, pulled: 2}
    assert await people.ask_to_join(BOB, opened) == StartedJoin(2, "o")
    assert await people.answer_member(ANN, asked, BOB) == StartedJoin(2, "a")
    assert await people.pull_in(ANN, pulled, BOB) == StartedJoin(2, "p")
    for chat in (opened, asked, pulled):
        assert await people.settle(BOB, 3, chat) is not None
        assert await people.settle(BOB, 4, chat) is None
    assert await people.unsettled(BOB) == {}
    assert [entry.unread_from for entry in (await people.entries(BOB)).entries] == [3, 3, 3]


async def test_who_inherits_a_group_while_it_joins_owns_it(people: World) -> None:
    chat = (await people.group(ANN, join_policy=OPEN)).id
    await people.ask_to_join(BOB, chat)
    await people.leave_all(ANN)
    settled = await people.settle(BOB, 3, chat)
    assert settled is not None
    assert (settled.role, (await people.chat(chat, BOB)).owner) == (Role.OWNER, BOB)


async def test_everybody_in_the_group_keeps_the_notice_of_a_newcomer(people: World) -> None:
    chat = (await people.group(ANN, BOB, join_policy=OPEN, name="g")).id
    before = [(await people.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    await people.ask_to_join(CEM, chat)
    settled = await people.settle(CEM, 1, chat)
    assert settled is not None
    assert sorted(settled.answered.kept) == [ANN, BOB, CEM]
    for account, number in settled.answered.kept.items():
        kept = (await people.kept(account))[-1]
        assert kept.number == number
        notice = msgspec.msgpack.decode(kept.notice, type=Notice)
        assert notice == MembershipAnswered(chat, "g", CEM, accepted=True)
    after = [(await people.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 1]


async def test_where_many_are_only_the_newcomer_keeps_a_notice(people: World) -> None:
    chat = (await people.group(ANN, BOB, join_policy=OPEN)).id
    before = await people.profile(ANN)
    await people.ask_to_join(CEM, chat)
    settled = await people.settle(CEM, 1, chat, broadcast_from=3)
    assert settled is not None
    assert (list(settled.answered.kept), settled.recipients) == ([CEM], None)
    assert await people.profile(ANN) == before
