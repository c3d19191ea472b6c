"""Tests friendships and friend requests on both databases."""

import asyncio
from functools import partial

import msgspec
import pytest

from services.session.store import friends
from shared.contract.contacts import EndFriendship, PendingFriendship, PendingMembership, Requests
from shared.contract.edge import EdgeEvent, FriendshipAnswered, FriendshipRequested
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import JoinPolicy
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection


async def friends_of(store: StoreHarness, account: AccountId) -> list[AccountId]:
    return (await store.lists(account))[1]


async def test_the_presence_of_friends_and_of_members_of_private_chats_may_be_seen(populated: StoreHarness) -> None:
    await populated.add_profiles(DAN, EVE)
    await populated.befriend(ANN, BOB)
    await populated.open_private(CEM, ANN)
    await populated.create_group(ANN, DAN)
    watchable = partial(friends.find_watchable, actor=ANN, accounts=[ANN, BOB, CEM, DAN, EVE, AccountId(99)])
    assert await populated.database.read(watchable) == {ANN, BOB, CEM}
    await populated.set_blocked(BOB, ANN)
    await populated.set_blocked(ANN, CEM)
    assert await populated.database.read(watchable) == {ANN, CEM}


async def test_an_account_that_blocks_another_is_not_seen_in_a_common_chat_either(populated: StoreHarness) -> None:
    await populated.add_profiles(DAN, EVE)
    await populated.open_private(CEM, ANN)
    await populated.create_group(ANN, BOB, DAN)
    near = partial(friends.find_near, actor=ANN, accounts=[ANN, BOB, CEM, DAN, EVE])
    assert await populated.database.read(near) == {ANN, BOB, CEM, DAN}
    await populated.set_blocked(CEM, ANN)
    await populated.set_blocked(DAN, ANN)
    assert await populated.database.read(near) == {ANN, BOB}


async def test_friend_request_is_pending_until_answered(populated: StoreHarness) -> None:
    assert await populated.request_friendship(CEM, BOB, "first") == FriendshipRequested(CEM, BOB, "first")
    populated.now += 1
    await populated.request_friendship(ANN, BOB, "hello")
    assert await populated.request_friendship(CEM, BOB, "again") == FriendshipRequested(CEM, BOB, "again")
    expected = [PendingFriendship(CEM, "again"), PendingFriendship(ANN, "hello")]
    assert (await populated.pending_requests(BOB)).friendships == expected
    assert (await populated.pending_requests(BOB, most=1)).friendships == expected[:1]
    assert (await populated.pending_requests(ANN)).friendships == []
    assert [await friends_of(populated, one) for one in (ANN, BOB, CEM)] == [[], [], []]


async def test_accepted_request_creates_a_friendship(populated: StoreHarness) -> None:
    await populated.request_friendship(ANN, BOB)
    answered = await populated.answer_friend_request(BOB, ANN)
    assert (answered.applicant, answered.account, answered.accepted) == (ANN, BOB, True)
    assert [await friends_of(populated, one) for one in (ANN, BOB)] == [[BOB], [ANN]]
    assert [(await populated.profile(one)).private_updated for one in (ANN, BOB, CEM)] == [NOW + 1, NOW + 1, NOW]
    for account in (ANN, BOB):
        (stored,) = await populated.pending_events(account)
        assert stored.number == answered.kept[account]
        event = msgspec.msgpack.decode(stored.event, type=EdgeEvent)
        assert event == FriendshipAnswered(ANN, BOB, accepted=True)
    assert (await rejection(populated.request_friendship(ANN, BOB))).code == ErrorCode.CONFLICT
    assert (await rejection(populated.request_friendship(BOB, ANN))).code == ErrorCode.CONFLICT
    assert (await rejection(populated.answer_friend_request(BOB, ANN))).code == ErrorCode.NOT_FOUND


async def test_concurrent_mutual_requests_create_one_friendship(populated: StoreHarness) -> None:
    requests = [populated.request_friendship(*pair) for pair in ((ANN, BOB), (BOB, ANN), (ANN, BOB), (BOB, ANN))]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert sum(isinstance(result, FriendshipAnswered) for result in results) == 1
    assert {one.failure.code for one in results if isinstance(one, RequestError)} <= {ErrorCode.CONFLICT}
    assert [await friends_of(populated, one) for one in (ANN, BOB)] == [[BOB], [ANN]]
    assert (await populated.pending_requests(ANN), await populated.pending_requests(BOB)) == (
        await populated.pending_requests(CEM),
    ) * 2


async def test_one_of_concurrent_answers_counts(populated: StoreHarness) -> None:
    await populated.request_friendship(ANN, BOB)
    answers = [populated.answer_friend_request(BOB, ANN, accept) for accept in (True, False, True)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    (answered,) = [result for result in results if isinstance(result, FriendshipAnswered)]
    assert bool(await friends_of(populated, ANN)) == answered.accepted
    assert {one.failure.code for one in results if isinstance(one, RequestError)} == {ErrorCode.NOT_FOUND}


async def test_unknown_and_deleted_accounts_get_no_friends(populated: StoreHarness) -> None:
    await populated.request_friendship(CEM, ANN)
    await populated.erase(CEM)
    assert (await rejection(populated.request_friendship(ANN, CEM))).code == ErrorCode.NOT_FOUND
    assert (await rejection(populated.request_friendship(ANN, AccountId(99)))).code == ErrorCode.NOT_FOUND
    assert (await rejection(populated.answer_friend_request(ANN, CEM))).code == ErrorCode.NOT_FOUND


async def test_friendship_ends_for_both_accounts(populated: StoreHarness) -> None:
    await populated.befriend(ANN, BOB)
    end = partial(friends.end_friendship, request=EndFriendship(BOB, actor=ANN), now=NOW)
    await populated.database.write(end)
    assert [await friends_of(populated, one) for one in (ANN, BOB)] == [[], []]
    assert [(await populated.profile(one)).private_updated for one in (ANN, BOB)] == [NOW + 1, NOW + 1]
    assert (await rejection(populated.database.write(end))).code == ErrorCode.NOT_FOUND


async def test_requests_and_events_of_a_deleted_account_are_deleted(populated: StoreHarness) -> None:
    group = (await populated.create_group(CEM, join_policy=JoinPolicy.APPROVAL)).id
    await populated.request_friendship(ANN, BOB)
    await populated.answer_friend_request(BOB, ANN, accept=False)
    await populated.request_friendship(ANN, BOB)
    await populated.request_friendship(CEM, ANN)
    await populated.request_friendship(CEM, BOB)
    await populated.request_membership(ANN, group)
    await populated.remove_data(ANN)
    assert (await populated.pending_requests(BOB)).friendships == [PendingFriendship(CEM, "hi")]
    assert (await populated.pending_requests(ANN)).friendships == []
    assert (await populated.pending_requests(CEM)).memberships == []
    assert await populated.pending_events(ANN) == []


async def test_applicant_deleted_during_acceptance_is_no_friend(populated: StoreHarness) -> None:
    await populated.request_friendship(ANN, BOB)

    async def delete() -> None:
        await populated.erase(ANN)
        while await populated.database.write(partial(friends.end_friendships, account=ANN, now=NOW)):
            pass
        await populated.remove_data(ANN)

    await asyncio.gather(populated.answer_friend_request(BOB, ANN), delete(), return_exceptions=True)
    assert await friends_of(populated, BOB) == []
    assert (await populated.pending_requests(BOB)).friendships == []


async def test_all_friendships_of_an_account_end_for_both_sides(populated: StoreHarness) -> None:
    await populated.befriend(ANN, CEM)
    await populated.befriend(ANN, BOB)
    await populated.befriend(CEM, DAN)
    assert (await populated.lists(ANN))[1] == [BOB, CEM]
    assert (await populated.lists(ANN, most=1))[1] == [BOB]
    end = partial(friends.end_friendships, account=ANN, now=NOW)
    assert await populated.database.write(end)
    assert [(await populated.lists(account))[1] for account in (ANN, BOB, CEM, DAN)] == [[], [], [DAN], [CEM]]
    assert [(await populated.profile(account)).private_updated for account in (BOB, CEM, DAN)] == [
        NOW + 1,
        NOW + 1,
        NOW,
    ]
    assert not await populated.database.write(end)


async def test_many_friendships_end_in_batches(store: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(friends, "SLICE", 2)
    others = [AccountId(number) for number in range(2, 7)]
    await store.add_profiles(ANN, *others)
    for other in others:
        await store.befriend(ANN, other)
    rounds = 0
    while await store.database.write(partial(friends.end_friendships, account=ANN, now=NOW)):
        rounds += 1
    assert rounds == 3
    assert [(await store.lists(account))[1] for account in (ANN, *others)] == [[]] * 6


# Limits


@pytest.fixture
async def limited(populated: StoreHarness) -> StoreHarness:
    """A store whose limits permit only two pending requests of an account."""
    await populated.add_profiles(DAN, EVE)
    populated.limits = LimitsSettings(requests_pending=2)
    return populated


async def test_friend_and_membership_requests_share_one_limit(limited: StoreHarness) -> None:
    group = (await limited.create_group(BOB, join_policy=JoinPolicy.APPROVAL)).id
    await limited.request_friendship(ANN, BOB)
    await limited.request_membership(ANN, group)
    failures = [
        await rejection(limited.request_friendship(ANN, CEM)),
        await rejection(limited.request_membership(ANN, await group_with_approval(limited))),
    ]
    assert [failure.code for failure in failures] == [ErrorCode.LIMIT] * 2
    assert not (await limited.pending_requests(CEM)).friendships
    assert not (await limited.pending_requests(DAN)).memberships
    await limited.request_friendship(ANN, BOB, "again")
    await limited.request_membership(ANN, group, "again")
    pending = await limited.pending_requests(BOB)
    assert pending == Requests([PendingFriendship(ANN, "again")], [PendingMembership(ANN, group, "again")])
    await limited.request_friendship(CEM, ANN)
    assert isinstance(await limited.request_friendship(ANN, CEM), FriendshipAnswered)
    await limited.answer_friend_request(BOB, ANN, accept=False)
    await limited.request_friendship(ANN, DAN)


async def group_with_approval(store: StoreHarness) -> ChatId:
    return (await store.create_group(DAN, join_policy=JoinPolicy.APPROVAL)).id


async def test_concurrent_requests_respect_the_limit(limited: StoreHarness) -> None:
    requests = [limited.request_friendship(ANN, one) for one in (BOB, CEM, DAN, EVE)]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert sum(isinstance(result, FriendshipRequested) for result in results) == 2
    assert [one.failure.code for one in results if isinstance(one, RequestError)] == [ErrorCode.LIMIT] * 2
