"""Accounts join groups, on both databases."""

import asyncio
from functools import partial
from itertools import product

import msgspec
import pytest

from services.session.domain import LOBBY
from services.session.store import chats
from services.session.store.memberships import AwaitingApproval, FinishedJoin, StartedJoin
from shared.contract import edge
from shared.contract.contacts import PendingMembership
from shared.contract.edge import EdgeEvent, MembershipAnswered, RecentJoins
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import ChatEntry, ChatList, Member
from shared.settings.limits import LimitsSettings
from tests.support.statements import executed
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection, roles

OPEN, APPROVAL, CLOSED = JoinPolicy.OPEN, JoinPolicy.APPROVAL, JoinPolicy.CLOSED


@pytest.fixture
async def populated(store: StoreHarness) -> StoreHarness:
    """Ann, Bob, Cem and Dan have profiles. Ann and Bob are friends."""
    await store.add_profiles(ANN, BOB, CEM, DAN)
    await store.befriend(ANN, BOB)
    return store


# The lobby


async def test_join_is_finished_once_unread_start_is_set(populated: StoreHarness) -> None:
    assert await populated.join_lobby(ANN) == 2
    assert await populated.list_chats(ANN) == ChatList([])
    assert (await populated.changes(LOBBY)).members == [Member(ANN, Role.MEMBER, 1, 2, 0)]
    finished = await populated.finish_join(ANN, unread_from=8)
    assert finished == FinishedJoin(
        3, 1, Role.MEMBER, 1, MembershipAnswered(LOBBY, "Lobby", ANN, accepted=True, version=3), [ANN], None
    )
    assert await populated.list_chats(ANN) == ChatList([ChatEntry(LOBBY, 1, 8)])
    assert (await populated.changes(LOBBY)).members == [Member(ANN, Role.MEMBER, 1, 3, 8)]
    assert await populated.members(LOBBY, ANN) == [ANN]


async def test_repeated_join_and_finish_change_nothing(populated: StoreHarness) -> None:
    assert [await populated.join_lobby(ANN), await populated.join_lobby(ANN)] == [2, 2]
    assert [await populated.finish_join(ANN, 8) is None, await populated.finish_join(ANN, 9)] == [False, None]
    assert await populated.join_lobby(ANN) == 3
    assert await populated.list_chats(ANN) == ChatList([ChatEntry(LOBBY, 1, 8)])


async def test_a_finished_join_names_the_version_after_which_nothing_else_changed(populated: StoreHarness) -> None:
    """The event names this version. An edge that has an older version must request the changes."""
    assert [await populated.join_lobby(ANN), await populated.join_lobby(BOB)] == [2, 3]
    finished = [await populated.finish_join(ANN), await populated.finish_join(BOB)]
    assert [(one.version, one.since) for one in finished if one] == [(4, 3), (5, 4)]
    assert await populated.join_lobby(CEM) == 6
    alone = await populated.finish_join(CEM)
    assert alone is not None
    assert (alone.version, alone.since) == (7, 5)


async def test_a_join_that_the_next_owner_finishes_follows_the_departure_of_the_former_one(
    populated: StoreHarness,
) -> None:
    """The departure made the new member the owner, in the same version.

    An edge that missed it would keep the previous owner as a member.
    """
    chat = (await populated.create_group(ANN, join_policy=OPEN)).id
    await populated.request_membership(CEM, chat)
    left = await populated.end_membership(ANN, chat, ANN)
    finished = await populated.finish_join(CEM, 1, chat)
    assert finished is not None
    assert (left.next_owner, finished.since) == (CEM, left.version)


async def test_deleted_account_does_not_join(store: StoreHarness) -> None:
    await store.erase(ANN)
    assert await store.join_lobby(ANN) is None
    assert await store.changes(LOBBY) == await store.changes(LOBBY, since=1)
    assert (await store.changes(LOBBY)).version == 1


async def test_concurrent_joins_have_distinct_versions_and_seats(store: StoreHarness) -> None:
    accounts = [AccountId(number) for number in range(1, 21)]
    await store.add_profiles(*accounts)
    versions = await asyncio.gather(*(store.join_lobby(account) for account in accounts))
    assert sorted(version or 0 for version in versions) == list(range(2, 22))
    await asyncio.gather(*(store.finish_join(account) for account in accounts))
    assert (await store.changes(LOBBY)).version == 41
    by_version = sorted(accounts, key=lambda account: versions[accounts.index(account)] or 0)
    assert await store.members(LOBBY, ANN) == by_version
    assert (await store.chat(LOBBY, ANN)).updated == NOW + 40


# Starting a join


async def test_open_group_is_joined_immediately(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, join_policy=OPEN, name="open")).id
    populated.head = 5
    assert await populated.request_membership(CEM, chat) == StartedJoin(2, "open")
    assert (await populated.changes(chat, since=1)).members == [Member(CEM, Role.MEMBER, 6, 2, 0)]
    finished = await populated.finish_join(CEM, 8, chat)
    assert finished is not None
    assert (finished.version, finished.first_index, finished.recipients) == (3, 1, [ANN, BOB, CEM])
    assert await populated.entry(CEM, chat) == ChatEntry(chat, 1, 8)


async def test_new_member_sees_no_earlier_messages_of_closed_groups(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN)).id
    populated.head = 5
    await populated.add_member(ANN, chat, BOB)
    assert (await populated.changes(chat, since=1)).members == [Member(BOB, Role.MEMBER, 6, 2, 0)]
    finished = await populated.finish_join(BOB, 8, chat)
    assert finished is not None
    assert finished.first_index == 8
    assert (await populated.changes(chat, since=1)).members == [Member(BOB, Role.MEMBER, 8, 3, 8)]


async def test_a_group_decides_what_new_members_see(populated: StoreHarness) -> None:
    """The group's setting at the end of the join counts.

    Earlier members see the same messages as before, and no message becomes unread.
    """
    for policy, history in product((OPEN, APPROVAL, CLOSED), (True, False, None)):
        chat = (await populated.create_group(ANN, BOB, join_policy=OPEN)).id
        await populated.request_membership(DAN, chat)
        await populated.finish_join(DAN, 4, chat)
        await populated.request_membership(CEM, chat)
        values = {"join_policy": policy, "history_for_new": history}
        change = partial(chats.set_chat, number=chat, actor=ANN, values=values, now=NOW, broadcast_from=512)
        assert (await populated.database.write(change)).chat.history_for_new is history
        before = {account: await populated.entry(account, chat) for account in (ANN, BOB, DAN)}
        await populated.finish_join(CEM, 8, chat)
        sees_all = history is True or (history is None and policy is OPEN)
        assert await populated.entry(CEM, chat) == ChatEntry(chat, 1 if sees_all else 8, 8)
        assert {account: await populated.entry(account, chat) for account in before} == before


async def test_membership_request_is_pending_until_answered(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, join_policy=APPROVAL, name="g")).id
    assert await populated.request_membership(CEM, chat, "please") == AwaitingApproval([ANN])
    populated.now += 1
    await populated.request_membership(DAN, chat, "me too")
    await populated.request_membership(CEM, chat, "pretty please")
    expected = [PendingMembership(CEM, chat, "pretty please"), PendingMembership(DAN, chat, "me too")]
    assert (await populated.pending_requests(ANN)).memberships == expected
    assert (await populated.pending_requests(ANN, most=1)).memberships == expected[:1]
    assert (await populated.pending_requests(BOB)).memberships == []
    assert (await populated.changes(chat)).version == 1


@pytest.mark.parametrize("end", ["leave", "disband", "delete"])
async def test_requests_end_with_the_last_member(populated: StoreHarness, end: str) -> None:
    chat = (await populated.create_group(ANN, join_policy=APPROVAL, name="g")).id
    await populated.request_membership(CEM, chat)
    if end == "leave":
        rejected = list((await populated.end_membership(ANN, chat, ANN)).rejected)
    elif end == "disband":
        rejected = (await populated.disband(ANN, chat))[2]
    else:
        rejected = [answer for left in await populated.leave_all_chats(ANN) for answer in left.rejected]
    assert [(one.chat, one.name, one.account, one.accepted) for one in rejected] == [(chat, "", CEM, False)]
    (kept,) = rejected[0].kept.values()
    assert [one.number for one in await populated.pending_events(CEM)] == [kept]
    failure = await rejection(populated.request_membership(CEM, chat))
    assert failure.code == ErrorCode.FORBIDDEN


async def test_requests_end_together_in_a_few_statements(populated: StoreHarness) -> None:
    counts = list[int]()
    for applicants in ([BOB], [BOB, CEM, DAN]):
        chat = (await populated.create_group(ANN, join_policy=APPROVAL, name="g")).id
        for one in applicants:
            await populated.request_membership(one, chat)
        with executed() as statements:
            rejected = (await populated.disband(ANN, chat)).rejected
        assert {one.account: [*one.kept] for one in rejected} == {one: [one] for one in applicants}
        counts.append(len(statements))
    assert counts[0] == counts[1]


async def test_accepted_applicant_is_a_member(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=APPROVAL, name="g")).id
    await populated.request_membership(CEM, chat)
    assert await populated.answer_membership_request(ANN, chat, CEM) == StartedJoin(2, "g")
    await populated.finish_join(CEM, 5, chat)
    assert await populated.members(chat, ANN) == [ANN, CEM]
    assert await populated.entry(CEM, chat) == ChatEntry(chat, 5, 5)
    assert (await populated.pending_requests(ANN)).memberships == []
    assert (await rejection(populated.answer_membership_request(ANN, chat, CEM))).code == ErrorCode.NOT_FOUND


async def test_rejected_applicant_may_request_again(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=APPROVAL, name="g")).id
    await populated.request_membership(CEM, chat)
    rejected = await populated.answer_membership_request(ANN, chat, CEM, accept=False)
    assert isinstance(rejected, MembershipAnswered)
    (stored,) = await populated.pending_events(CEM)
    assert rejected == MembershipAnswered(chat, "", CEM, accepted=False, kept={CEM: stored.number})
    assert (await rejection(populated.answer_membership_request(ANN, chat, CEM))).code == ErrorCode.NOT_FOUND
    assert isinstance(await populated.request_membership(CEM, chat), AwaitingApproval)


async def test_closed_private_and_unknown_chats_are_not_joined(populated: StoreHarness) -> None:
    closed = (await populated.create_group(ANN, BOB)).id
    private = (await populated.open_private(ANN, BOB))[0]
    codes = [
        (await rejection(populated.request_membership(CEM, number))).code for number in (closed, private, ChatId(99))
    ]
    assert codes == [ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND]
    await populated.request_membership(CEM, LOBBY)
    await populated.finish_join(CEM)
    assert (await rejection(populated.request_membership(CEM, LOBBY))).code == ErrorCode.CONFLICT
    assert (await rejection(populated.request_membership(EVE, LOBBY))).code == ErrorCode.NOT_FOUND


async def test_only_owner_and_admins_answer_and_add(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, join_policy=APPROVAL)).id
    await populated.befriend(BOB, DAN)
    await populated.request_membership(CEM, chat)
    rejections = [
        await rejection(populated.answer_membership_request(BOB, chat, CEM)),
        await rejection(populated.answer_membership_request(DAN, chat, CEM)),
        await rejection(populated.answer_membership_request(CEM, chat, CEM)),
        await rejection(populated.add_member(BOB, chat, DAN)),
        await rejection(populated.add_member(DAN, chat, BOB)),
    ]
    assert {failure.code for failure in rejections} == {ErrorCode.FORBIDDEN}
    assert (await rejection(populated.answer_membership_request(ANN, ChatId(99), CEM))).code == ErrorCode.NOT_FOUND
    assert (await populated.changes(chat)).version == 1


async def test_admin_adds_friends_and_applicants(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=APPROVAL)).id
    assert (await rejection(populated.add_member(ANN, chat, CEM))).code == ErrorCode.FORBIDDEN
    assert (await rejection(populated.add_member(ANN, chat, EVE))).code == ErrorCode.NOT_FOUND
    await populated.request_membership(CEM, chat)
    for account in (BOB, CEM):
        await populated.add_member(ANN, chat, account)
        await populated.finish_join(account, 1, chat)
    assert (await rejection(populated.add_member(ANN, chat, BOB))).code == ErrorCode.CONFLICT
    assert (await populated.pending_requests(ANN)).memberships == []
    assert await populated.members(chat, BOB) == [ANN, BOB, CEM]


async def test_full_group_rejects_joins_and_the_request_remains_pending(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(members_per_group=2)
    chat = (await populated.create_group(ANN, join_policy=APPROVAL)).id
    for account in (CEM, DAN):
        await populated.request_membership(account, chat)
    await populated.add_member(ANN, chat, BOB)
    assert (await rejection(populated.answer_membership_request(ANN, chat, CEM))).code == ErrorCode.LIMIT
    assert len((await populated.pending_requests(ANN)).memberships) == 2
    await populated.remove_data(CEM)
    assert (await rejection(populated.request_membership(CEM, chat))).code == ErrorCode.LIMIT


async def test_concurrent_joins_respect_the_size_limit(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(members_per_group=2)
    chat = (await populated.create_group(ANN, join_policy=OPEN)).id
    results = await asyncio.gather(
        *(populated.request_membership(one, chat) for one in (BOB, CEM, DAN)), return_exceptions=True
    )
    assert sum(isinstance(result, StartedJoin) for result in results) == 1
    assert [one.failure.code for one in results if isinstance(one, RequestError)] == [ErrorCode.LIMIT] * 2


async def test_number_of_groups_per_account_is_limited(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(chats_per_account=1)
    first, second = [(await populated.create_group(owner, join_policy=OPEN)).id for owner in (ANN, BOB)]
    await populated.open_private(CEM, DAN)
    await populated.request_membership(CEM, first)
    assert (await rejection(populated.request_membership(CEM, second))).code == ErrorCode.LIMIT


async def test_one_of_concurrent_answers_counts(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=APPROVAL)).id
    await populated.request_membership(CEM, chat)
    answers = [populated.answer_membership_request(ANN, chat, CEM, accept) for accept in (True, False)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    accepted, rejected = results
    if isinstance(accepted, StartedJoin):
        assert await populated.unfinished_joins(CEM) == {chat: 2}
    else:
        assert isinstance(rejected, MembershipAnswered)
        assert await populated.unfinished_joins(CEM) == {}
    assert (await populated.pending_requests(ANN)).memberships == []


async def test_applicant_deleted_during_acceptance_is_no_member(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=APPROVAL)).id
    await populated.request_membership(CEM, chat)

    async def delete() -> None:
        await populated.erase(CEM)
        await populated.leave_all_chats(CEM)
        await populated.remove_data(CEM)

    await asyncio.gather(populated.answer_membership_request(ANN, chat, CEM), delete(), return_exceptions=True)
    assert await populated.finish_join(CEM, 1, chat) is None
    assert await populated.members(chat, ANN) == [ANN]
    assert (await populated.pending_requests(ANN)).memberships == []


# Finishing a join


async def test_repeated_request_finishes_an_interrupted_join(populated: StoreHarness) -> None:
    opened = (await populated.create_group(ANN, join_policy=OPEN, name="o")).id
    approved = (await populated.create_group(ANN, join_policy=APPROVAL, name="a")).id
    added = (await populated.create_group(ANN, name="p")).id
    await populated.request_membership(BOB, opened)
    await populated.request_membership(BOB, approved)
    await populated.answer_membership_request(ANN, approved, BOB)
    await populated.add_member(ANN, added, BOB)
    assert await populated.unfinished_joins(BOB) == {opened: 2, approved: 2, added: 2}
    assert await populated.request_membership(BOB, opened) == StartedJoin(2, "o")
    assert await populated.answer_membership_request(ANN, approved, BOB) == StartedJoin(2, "a")
    assert await populated.add_member(ANN, added, BOB) == StartedJoin(2, "p")
    for chat in (opened, approved, added):
        assert await populated.finish_join(BOB, 3, chat) is not None
        assert await populated.finish_join(BOB, 4, chat) is None
    assert await populated.unfinished_joins(BOB) == {}
    assert [entry.unread_from for entry in (await populated.list_chats(BOB)).entries] == [3, 3, 3]


async def test_first_member_of_an_abandoned_group_becomes_its_owner(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=OPEN)).id
    await populated.leave_all_chats(ANN)
    await populated.request_membership(BOB, chat)
    await populated.request_membership(CEM, chat)
    finished = await populated.finish_join(BOB, 3, chat)
    assert finished is not None
    assert (finished.role, (await populated.chat(chat, BOB)).owner) == (Role.OWNER, BOB)
    assert roles((await populated.changes(chat)).members) == {ANN: Role.LEFT, BOB: Role.OWNER, CEM: Role.MEMBER}


async def test_member_that_becomes_owner_during_its_join_stays_owner(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=OPEN)).id
    await populated.request_membership(BOB, chat)
    await populated.leave_all_chats(ANN)
    finished = await populated.finish_join(BOB, 3, chat)
    assert finished is not None
    assert (finished.role, (await populated.chat(chat, BOB)).owner) == (Role.OWNER, BOB)


async def test_event_of_a_new_member_is_stored_for_all_members(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, join_policy=OPEN, name="g")).id
    before = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    await populated.request_membership(CEM, chat)
    finished = await populated.finish_join(CEM, 1, chat)
    assert finished is not None
    assert sorted(finished.answered.kept) == [ANN, BOB, CEM]
    for account, number in finished.answered.kept.items():
        stored = (await populated.pending_events(account))[-1]
        assert stored.number == number
        event = msgspec.msgpack.decode(stored.event, type=EdgeEvent)
        assert event == MembershipAnswered(chat, "g", CEM, accepted=True, version=3, time=NOW)
    after = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 1]


async def test_event_in_a_large_group_is_stored_only_for_the_new_member(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, join_policy=OPEN)).id
    before = await populated.profile(ANN)
    await populated.request_membership(CEM, chat)
    finished = await populated.finish_join(CEM, 1, chat, broadcast_from=3)
    assert finished is not None
    assert (list(finished.answered.kept), finished.recipients) == ([CEM], None)
    assert await populated.profile(ANN) == before


async def test_a_finished_join_names_those_at_the_same_time_in_a_large_group(populated: StoreHarness) -> None:
    """Cem's join begins before Dan's, and Dan's ends first.

    So neither event alone contains both changes since the previous version.
    """
    chat = (await populated.create_group(ANN, BOB, join_policy=OPEN)).id
    for account in (CEM, DAN):
        await populated.request_membership(account, chat)
    dan, cem = [await populated.finish_join(account, 1, chat, broadcast_from=3) for account in (DAN, CEM)]
    assert dan is not None
    assert cem is not None
    assert (dan.version, dan.recent) == (4, RecentJoins(1, {CEM: 1, BOB: 1, ANN: 1}))
    assert (cem.version, cem.recent) == (5, RecentJoins(1, {DAN: 1, BOB: 1, ANN: 1}))


async def test_a_finished_join_names_others_since_the_last_departure(populated: StoreHarness) -> None:
    """The departed account's own event must arrive first, because it makes the account lose its view of the group."""
    chat = (await populated.create_group(ANN, BOB, join_policy=OPEN)).id
    await populated.end_membership(BOB, chat, BOB)
    left_at = (await populated.changes(chat)).version
    for account in (CEM, DAN):
        await populated.request_membership(account, chat)
    finished = await populated.finish_join(DAN, 1, chat, broadcast_from=3)
    assert finished is not None
    assert finished.recent == RecentJoins(left_at, {CEM: 1})


async def test_a_finished_join_names_few_others(populated: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "RECENT_JOINS", 1)
    chat = (await populated.create_group(ANN, BOB, join_policy=OPEN)).id
    for account in (CEM, DAN):
        await populated.request_membership(account, chat)
    await populated.finish_join(CEM, 1, chat, broadcast_from=3)
    finished = await populated.finish_join(DAN, 1, chat, broadcast_from=3)
    assert finished is not None
    assert finished.recent == RecentJoins(1, {CEM: 1})
