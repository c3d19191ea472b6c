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
from tests.unit.services.session.world import ANN, BOB, CEM, DAN, EVE, NOW, World, refusal


@pytest.fixture
async def people(world: World) -> World:
    await world.people(ANN, BOB, CEM)
    return world


async def friends_of(world: World, account: AccountId) -> list[AccountId]:
    return (await world.lists(account))[1]


async def test_a_request_waits_until_it_is_answered(people: World) -> None:
    assert await people.ask_friend(CEM, BOB, "first") == FriendshipRequested(CEM, BOB, "first")
    people.now += 1
    await people.ask_friend(ANN, BOB, "hello")
    assert await people.ask_friend(CEM, BOB, "again") == FriendshipRequested(CEM, BOB, "again")
    expected = [PendingFriendship(CEM, "again"), PendingFriendship(ANN, "hello")]
    assert (await people.pending(BOB)).friendships == expected
    assert (await people.pending(BOB, most=1)).friendships == expected[:1]
    assert (await people.pending(ANN)).friendships == []
    assert [await friends_of(people, one) for one in (ANN, BOB, CEM)] == [[], [], []]


async def test_an_accepted_request_makes_friends(people: World) -> None:
    await people.ask_friend(ANN, BOB)
    answered = await people.answer_friend(BOB, ANN)
    assert (answered.applicant, answered.account, answered.accepted) == (ANN, BOB, True)
    assert [await friends_of(people, one) for one in (ANN, BOB)] == [[BOB], [ANN]]
    assert [(await people.profile(one)).private_updated for one in (ANN, BOB, CEM)] == [NOW + 1, NOW + 1, NOW]
    for account in (ANN, BOB):
        (kept,) = await people.kept(account)
        assert kept.number == answered.kept[account]
        notice = msgspec.msgpack.decode(kept.notice, type=Notice)
        assert notice == FriendshipAnswered(ANN, BOB, accepted=True)
    assert (await refusal(people.ask_friend(ANN, BOB))).code == ErrorCode.CONFLICT
    assert (await refusal(people.ask_friend(BOB, ANN))).code == ErrorCode.CONFLICT
    assert (await refusal(people.answer_friend(BOB, ANN))).code == ErrorCode.NOT_FOUND


async def test_a_refusal_is_kept_for_the_applicant(people: World) -> None:
    await people.ask_friend(ANN, BOB)
    answered = await people.answer_friend(BOB, ANN, accept=False)
    (kept,) = await people.kept(ANN)
    assert answered == FriendshipAnswered(ANN, BOB, accepted=False, kept={ANN: kept.number})
    assert await people.kept(BOB) == []
    assert (await people.pending(BOB)).friendships == []
    assert await friends_of(people, ANN) == []
    assert (await refusal(people.answer_friend(BOB, ANN))).code == ErrorCode.NOT_FOUND


async def test_two_who_ask_each_other_are_friends(people: World) -> None:
    await people.ask_friend(ANN, BOB)
    answered = await people.ask_friend(BOB, ANN)
    assert isinstance(answered, FriendshipAnswered)
    assert (answered.applicant, answered.account, sorted(answered.kept)) == (ANN, BOB, [ANN, BOB])
    assert await friends_of(people, ANN) == [BOB]
    assert (await people.pending(ANN), await people.pending(BOB)) == (await people.pending(CEM),) * 2


async def test_two_who_ask_each_other_at_once_are_friends(people: World) -> None:
    asked = [people.ask_friend(*pair) for pair in ((ANN, BOB), (BOB, ANN), (ANN, BOB), (BOB, ANN))]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, FriendshipAnswered) for result in results) == 1
    assert {one.failure.code for one in results if isinstance(one, RequestError)} <= {ErrorCode.CONFLICT}
    assert [await friends_of(people, one) for one in (ANN, BOB)] == [[BOB], [ANN]]
    assert (await people.pending(ANN), await people.pending(BOB)) == (await people.pending(CEM),) * 2


async def test_of_two_answers_at_once_one_counts(people: World) -> None:
    await people.ask_friend(ANN, BOB)
    answers = [people.answer_friend(BOB, ANN, accept) for accept in (True, False, True)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    (answered,) = [result for result in results if isinstance(result, FriendshipAnswered)]
    assert bool(await friends_of(people, ANN)) == answered.accepted
    assert {one.failure.code for one in results if isinstance(one, RequestError)} == {ErrorCode.NOT_FOUND}


async def test_nobody_befriends_who_is_not_there(people: World) -> None:
    await people.ask_friend(CEM, ANN)
    await people.erase(CEM)
    assert (await refusal(people.ask_friend(ANN, CEM))).code == ErrorCode.NOT_FOUND
    assert (await refusal(people.ask_friend(ANN, DAN))).code == ErrorCode.NOT_FOUND
    assert (await refusal(people.answer_friend(ANN, CEM))).code == ErrorCode.NOT_FOUND


async def test_a_friendship_ends_for_both(people: World) -> None:
    await people.befriend(ANN, BOB)
    end = partial(friends.end_friendship, request=EndFriendship(BOB, ANN), now=NOW)
    await people.database.write(end)
    assert [await friends_of(people, one) for one in (ANN, BOB)] == [[], []]
    assert [(await people.profile(one)).private_updated for one in (ANN, BOB)] == [NOW + 1, NOW + 1]
    assert (await refusal(people.database.write(end))).code == ErrorCode.NOT_FOUND


async def test_with_an_account_its_requests_and_notices_end(people: World) -> None:
    group = (await people.group(CEM, join_policy=JoinPolicy.APPROVAL)).id
    await people.ask_friend(ANN, BOB)
    await people.answer_friend(BOB, ANN, accept=False)
    await people.ask_friend(ANN, BOB)
    await people.ask_friend(CEM, ANN)
    await people.ask_friend(CEM, BOB)
    await people.ask_to_join(ANN, group)
    await people.end_requests(ANN)
    assert (await people.pending(BOB)).friendships == [PendingFriendship(CEM, "hi")]
    assert (await people.pending(ANN)).friendships == []
    assert (await people.pending(CEM)).memberships == []
    assert await people.kept(ANN) == []


async def test_whoever_is_accepted_while_it_is_deleted_is_no_friend(people: World) -> None:
    await people.ask_friend(ANN, BOB)

    async def delete() -> None:
        await people.erase(ANN)
        while await people.database.write(partial(friends.end_friendships, account=ANN, now=NOW)):
            pass
        await people.end_requests(ANN)

    await asyncio.gather(people.answer_friend(BOB, ANN), delete(), return_exceptions=True)
    assert await friends_of(people, BOB) == []
    assert (await people.pending(BOB)).friendships == []


async def test_friends_are_listed_for_both_and_ended_for_both(world: World) -> None:
    await world.people(ANN, BOB, CEM, DAN)
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


async def test_many_friendships_end_a_number_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(friends, "SLICE", 2)
    others = [AccountId(number) for number in range(2, 7)]
    await world.people(ANN, *others)
    for other in others:
        await world.befriend(ANN, other)
    rounds = 0
    while await world.database.write(partial(friends.end_friendships, account=ANN, now=NOW)):
        rounds += 1
    assert rounds == 3
    assert [(await world.lists(account))[1] for account in (ANN, *others)] == [[]] * 6


# How much may wait


@pytest.fixture
async def few(people: World) -> World:
    """Two requests of one account may wait."""
    await people.people(DAN, EVE)
    people.limits = Limits(requests_pending=2)
    return people


async def test_requests_to_people_and_to_groups_count_together(few: World) -> None:
    group = (await few.group(BOB, join_policy=JoinPolicy.APPROVAL)).id
    await few.ask_friend(ANN, BOB)
    await few.ask_to_join(ANN, group)
    failures = [await refusal(few.ask_friend(ANN, CEM)), await refusal(few.ask_to_join(ANN, await approved(few)))]
    assert [failure.code for failure in failures] == [ErrorCode.LIMIT] * 2
    assert not (await few.pending(CEM)).friendships
    assert not (await few.pending(DAN)).memberships
    await few.ask_friend(ANN, BOB, "again")
    await few.ask_to_join(ANN, group, "again")
    waiting = await few.pending(BOB)
    assert waiting == Requests([PendingFriendship(ANN, "again")], [PendingMembership(ANN, group, "again")])
    await few.ask_friend(CEM, ANN)
    assert isinstance(await few.ask_friend(ANN, CEM), FriendshipAnswered)
    await few.answer_friend(BOB, ANN, accept=False)
    await few.ask_friend(ANN, DAN)


async def approved(world: World) -> ChatId:
    return (await world.group(DAN, join_policy=JoinPolicy.APPROVAL)).id


async def test_requests_at_the_same_time_count_too(few: World) -> None:
    asked = [few.ask_friend(ANN, one) for one in (BOB, CEM, DAN, EVE)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, FriendshipRequested) for result in results) == 2
    assert [one.failure.code for one in results if isinstance(one, RequestError)] == [ErrorCode.LIMIT] * 2
