"""Tests blocked accounts on both databases."""

from functools import partial

from services.session.domain import pair_of
from services.session.store import blocks
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, StoreHarness, rejection


async def muted(store: StoreHarness, one: AccountId, other: AccountId) -> list[AccountId]:
    number, _ = await store.open_private(one, other)
    return list((await store.changes(number)).muted)


async def test_the_membership_of_a_private_chat_names_blocked_members(populated: StoreHarness) -> None:
    await populated.set_blocked(ANN, BOB)
    await populated.set_blocked(ANN, BOB)
    assert await muted(populated, ANN, BOB) == [BOB]
    assert await muted(populated, BOB, CEM) == []
    await populated.set_blocked(BOB, ANN)
    assert sorted(await muted(populated, ANN, BOB)) == [ANN, BOB]
    await populated.set_blocked(ANN, BOB, blocked=False)
    assert await muted(populated, ANN, BOB) == [ANN]
    group = await populated.create_group(ANN, CEM)
    assert (await populated.changes(group.id)).muted == {}


async def test_blocked_members_of_private_chats_are_found(populated: StoreHarness) -> None:
    private, _ = await populated.open_private(ANN, BOB)
    group = await populated.create_group(ANN, BOB)
    await populated.set_blocked(ANN, BOB)
    members = [(one, number) for number in (private, group.id, ChatId(99)) for one in (ANN, BOB, CEM)]
    found = partial(blocks.find_blocked_members, members=members)
    assert await populated.database.read(found) == [(ANN, private), (BOB, private)]
    await populated.set_blocked(ANN, BOB, blocked=False)
    assert await populated.database.read(found) == []


async def test_only_an_existing_private_chat_has_a_new_version(populated: StoreHarness) -> None:
    increment = partial(blocks.increment_version, pair=pair_of(BOB, ANN), now=populated.now)
    assert await populated.database.write(increment) is None
    number, created = await populated.open_private(ANN, BOB)
    assert created is not None
    assert await populated.database.write(increment) == (number, created.version + 1)
    assert (await populated.changes(number)).version == created.version + 1


async def test_a_blocked_account_cannot_approach(populated: StoreHarness) -> None:
    await populated.request_friendship(BOB, ANN)
    await populated.set_blocked(ANN, BOB)
    assert (await populated.pending_requests(ANN)).friendships == []
    assert (await rejection(populated.request_friendship(BOB, ANN))).code is ErrorCode.FORBIDDEN
    assert (await rejection(populated.open_private(BOB, ANN))).code is ErrorCode.FORBIDDEN
    assert (await rejection(populated.create_group(BOB, CEM, ANN))).field == "members"
    number, _ = await populated.open_private(ANN, BOB)
    assert await populated.open_private(BOB, ANN) == (number, None)
    await populated.set_blocked(ANN, BOB, blocked=False)
    await populated.request_friendship(BOB, ANN)


async def test_a_blocked_friend_adds_the_account_to_no_group(populated: StoreHarness) -> None:
    await populated.befriend(ANN, BOB)
    group = await populated.create_group(BOB, CEM)
    await populated.set_blocked(ANN, BOB)
    assert (await rejection(populated.add_member(BOB, group.id, ANN))).code is ErrorCode.FORBIDDEN
    await populated.set_blocked(ANN, BOB, blocked=False)
    await populated.add_member(BOB, group.id, ANN)


async def test_blocks_are_limited_listed_and_end_with_an_account(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(blocks_per_account=2)
    await populated.add_profiles(DAN)
    await populated.set_blocked(ANN, CEM)
    await populated.set_blocked(ANN, BOB)
    await populated.set_blocked(ANN, BOB)
    assert (await rejection(populated.set_blocked(ANN, DAN))).code is ErrorCode.LIMIT
    assert (await rejection(populated.set_blocked(BOB, AccountId(99)))).code is ErrorCode.NOT_FOUND
    assert await populated.blocked_by(ANN) == [BOB, CEM]
    await populated.set_blocked(BOB, ANN)
    await populated.remove_data(BOB)
    assert [await populated.blocked_by(one) for one in (ANN, BOB)] == [[CEM], []]
