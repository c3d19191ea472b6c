"""Friendships and the requests before them, on both databases."""

import asyncio
from functools import partial

import msgspec
import pytest

from services.session.store import friends
from shared.contract.edge import FriendshipAnswered, FriendshipRequested, Notice
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import JoinPolicy
from shared.contract.session import EndFriendship, PendingFriendship, PendingMembership, Requests
from shared.settings import Limits
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection


@pytest.fixture
async def people(world: StoreHarness) -> StoreHarness:
    await world.add_profiles(ANN, BOB, CEM)
    return world


async def friends_of(world: StoreHarness, account: AccountId) -> list[AccountId]:
    return (await world.lists(account))[1]


async def test_a_request_waits_until_it_is_answered(people: StoreHarness) -> None:
    assert await people.request_friendship(CEM, BOB, "first") == FriendshipRequested(CEM, BOB, "first")
    people.now += 1
    await people.request_friendship(ANN, BOB, "hello")
    assert await people.request_friendship(CEM, BOB, "again") == FriendshipRequested(CEM, BOB, "again")
    expected = [PendingFriendship(CEM, "again"), PendingFriendship(ANN, "hello")]
    assert (await people.pending_requests(BOB)).friendships == expected
    assert (await people.pending_requests(BOB, most=1)).friendships == expected[:1]
    assert (await people.pending_requests(ANN)).friendships == []
    assert [await friends_of(people, one) for one in (ANN, BOB, CEM)] == [[], [], []]


async def test_an_accepted_request_makes_friends(people: StoreHarness) -> None:
    await people.request_friendship(ANN, BOB)
    answered = await people.answer_friend_request(BOB, ANN)
    assert (answered.applicant, answered.account, answered.accepted) == (ANN, BOB, True)
    assert [await friends_of(people, one) for one in (ANN, BOB)] == [[BOB], [ANN]]
    assert [(await people.profile(one)).private_updated for one in (ANN, BOB, CEM)] == [NOW + 1, NOW + 1, NOW]
    for account in (ANN, BOB):
        (kept,) = await people.pending_notices(account)
        assert kept.number == answered.kept[account]
        notice = msgspec.msgpack.decode(kept.notice, type=Notice)
        assert notice == FriendshipAnswered(ANN, BOB, accepted=True)
    assert (await rejection(people.request_friendship(ANN, BOB))).code == ErrorCode.CONFLICT
    assert (await rejection(people.request_friendship(BOB, ANN))).code == ErrorCode.CONFLICT
    assert (await rejection(people.answer_friend_request(BOB, ANN))).code == ErrorCode.NOT_FOUND


async def test_a_refusal_is_kept_for_the_applicant(people: StoreHarness) -> None:
    await people.request_friendship(ANN, BOB)
    answered = await people.answer_friend_request(BOB, ANN, accept=False)
    (kept,) = await people.pending_notices(ANN)
    assert answered == FriendshipAnswered(ANN, BOB, accepted=False, kept={ANN: kept.number})
    assert await people.pending_notices(BOB) == []
    assert (await people.pending_requests(BOB)).friendships == []
    assert await friends_of(people, ANN) == []
    assert (await rejection(people.answer_friend_request(BOB, ANN))).code == ErrorCode.NOT_FOUND


async def test_two_who_ask_each_other_are_friends(people: StoreHarness) -> None:
    await people.request_friendship(ANN, BOB)
    answered = await people.request_friendship(BOB, ANN)
    assert isinstance(answered, FriendshipAnswered)
    assert (answered.applicant, answered.account, sorted(answered.kept)) == (ANN, BOB, [ANN, BOB])
    assert await friends_of(people, ANN) == [BOB]
    assert (await people.pending_requests(ANN), await people.pending_requests(BOB)) == (await people.pending_requests(CEM),) * 2


async def test_two_who_ask_each_other_at_once_are_friends(people: StoreHarness) -> None:
    asked = [people.request_friendship(*pair) for pair in ((ANN, BOB), (BOB, ANN), (ANN, BOB), (BOB, ANN))]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, FriendshipAnswered) for result in results) == 1
    assert {one.failure.code for one in results if isinstance(one, RequestError)} <= {ErrorCode.CONFLICT}
    assert [await friends_of(people, one) for one in (ANN, BOB)] == [[BOB], [ANN]]
    assert (await people.pending_requests(ANN), await people.pending_requests(BOB)) == (await people.pending_requests(CEM),) * 2


async def test_of_two_answers_at_once_one_counts(people: StoreHarness) -> None:
    await people.request_friendship(ANN, BOB)
    answers = [people.answer_friend_request(BOB, ANN, accept) for accept in (True, False, True)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    (answered,) = [result for result in results if isinstance(result, FriendshipAnswered)]
    assert bool(await friends_of(people, ANN)) == answered.accepted
    assert {one.failure.code for one in results if isinstance(one, RequestError)} == {ErrorCode.NOT_FOUND}


async def test_nobody_befriends_who_is_not_there(people: StoreHarness) -> None:
    await people.request_friendship(CEM, ANN)
    await people.erase(CEM)
    assert (await rejection(people.request_friendship(ANN, CEM))).code == ErrorCode.NOT_FOUND
    assert (await rejection(people.request_friendship(ANN, DAN))).code == ErrorCode.NOT_FOUND
    assert (await rejection(people.answer_friend_request(ANN, CEM))).code == ErrorCode.NOT_FOUND


async def test_a_friendship_ends_for_both(people: StoreHarness) -> None:
    await people.befriend(ANN, BOB)
    end = partial(friends.end_friendship, request=EndFriendship(BOB, ANN), now=NOW)
    await people.database.write(end)
    assert [await friends_of(people, one) for one in (ANN, BOB)] == [[], []]
    assert [(await people.profile(one)).private_updated for one in (ANN, BOB)] == [NOW + 1, NOW + 1]
    assert (await rejection(people.database.write(end))).code == ErrorCode.NOT_FOUND


async def test_with_an_account_its_requests_and_notices_end(people: StoreHarness) -> None:
    group = (await people.create_group(CEM, join_policy=JoinPolicy.APPROVAL)).id
    await people.request_friendship(ANN, BOB)
    await people.answer_friend_request(BOB, ANN, accept=False)
    await people.request_friendship(ANN, BOB)
    await people.request_friendship(CEM, ANN)
    await people.request_friendship(CEM, BOB)
    await people.request_membership(ANN, group)
    await people.delete_requests(ANN)
    assert (await people.pending_requests(BOB)).friendships == [PendingFriendship(CEM, "hi")]
    assert (await people.pending_requests(ANN)).friendships == []
    assert (await people.pending_requests(CEM)).memberships == []
    assert await people.pending_notices(ANN) == []


async def test_whoever_is_accepted_while_it_is_deleted_is_no_friend(people: StoreHarness) -> None:
    await people.request_friendship(ANN, BOB)

    async def delete() -> None:
        await people.erase(ANN)
        while await people.database.write(partial(friends.end_friendships, account=ANN, now=NOW)):
            pass
        await people.delete_requests(ANN)

    await asyncio.gather(people.answer_friend_request(BOB, ANN), delete(), return_exceptions=True)
    assert await friends_of(people, BOB) == []
    assert (await people.pending_requests(BOB)).friendships == []


async def test_friends_are_listed_for_both_and_ended_for_both(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM, DAN)
    await world.befriend(ANN, CEM)
    await world.befriend(ANN, BOB)
    await world.befriend(CEM, DAN)
    assert (await world.lists(ANN))[1] == [BOB, CEM]
    assert (await world.lists(ANN, most=1))[1] == [BOB]
    end = partial(friends.end_friendships, account=ANN, now=NOW)
    assert await world.database.write(end)
    assert [(await world.lists(account))[1] for account in (ANN, BOB, CEM, DAN)] == [[], [], [DAN], [CEM]]
    assert [(await world.profile(account)).private_updated for account in (BOB, CEM, DAN)] == [NOW + 1, NOW + 1, NOW]
    assert not await world.database.write(end)


async def test_many_friendships_end_a_number_at_a_time(world: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(friends, "SLICE", 2)
    others = [AccountId(number) for number in range(2, 7)]
    await world.add_profiles(ANN, *others)
    for other in others:
        await world.befriend(ANN, other)
    rounds = 0
    while await world.database.write(partial(friends.end_friendships, account=ANN, now=NOW)):
        rounds += 1
    assert rounds == 3
    assert [(await world.lists(account))[1] for account in (ANN, *others)] == [[]] * 6


# How much may wait


@pytest.fixture
async def few(people: StoreHarness) -> StoreHarness:
    """Two requests of one account may wait."""
    await people.add_profiles(DAN, EVE)
    people.limits = Limits(requests_pending=2)
    return people


async def test_requests_to_people_and_to_groups_count_together(few: StoreHarness) -> None:
    group = (await few.create_group(BOB, join_policy=JoinPolicy.APPROVAL)).id
    await few.request_friendship(ANN, BOB)
    await few.request_membership(ANN, group)
    failures = [await rejection(few.request_friendship(ANN, CEM)), await rejection(few.request_membership(ANN, await group_with_approval(few)))]
    assert [failure.code for failure in failures] == [ErrorCode.LIMIT] * 2
    assert not (await few.pending_requests(CEM)).friendships
    assert not (await few.pending_requests(DAN)).memberships
    await few.request_friendship(ANN, BOB, "again")
    await few.request_membership(ANN, group, "again")
    waiting = await few.pending_requests(BOB)
    assert waiting == Requests([PendingFriendship(ANN, "again")], [PendingMembership(ANN, group, "again")])
    await few.request_friendship(CEM, ANN)
    assert isinstance(await few.request_friendship(ANN, CEM), FriendshipAnswered)
    await few.answer_friend_request(BOB, ANN, accept=False)
    await few.request_friendship(ANN, DAN)


async def group_with_approval(world: StoreHarness) -> ChatId:
    return (await world.create_group(DAN, join_policy=JoinPolicy.APPROVAL)).id


async def test_requests_at_the_same_time_count_too(few: StoreHarness) -> None:
    asked = [few.request_friendship(ANN, one) for one in (BOB, CEM, DAN, EVE)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, FriendshipRequested) for result in results) == 2
    assert [one.failure.code for one in results if isinstance(one, RequestError)] == [ErrorCode.LIMIT] * 2
