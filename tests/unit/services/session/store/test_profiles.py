"""Profiles, on both databases."""

import asyncio
from functools import partial

from services.session.domain import LOBBY
from services.session.store import memberships, profiles
from services.session.store.profiles import AccountState
from shared.contract.ids import AccountId
from shared.contract.model import Profile
from shared.contract.session import EnsureProfile
from tests.unit.services.session.store_harness import ANN, BOB, NOW, StoreHarness, profile_seed


async def add(world: StoreHarness, profile: EnsureProfile) -> bool:
    return await world.database.write(partial(profiles.add_profile, seed=profile, now=world.now))


async def change(world: StoreHarness, account: AccountId, **values: str | int) -> Profile | None:
    return await world.database.write(partial(profiles.set_profile, account=account, values=values, now=world.now))


async def account_state(world: StoreHarness, account: AccountId) -> AccountState | None:
    return await world.database.read(partial(profiles.account_state, account=account))


async def test_a_profile_is_made_once(world: StoreHarness) -> None:
    first = EnsureProfile(account=ANN, uuid="u", nickname="安", icon_id=3, signature="hi", vip=1, created=5)
    assert await add(world, first)
    world.now += 7
    assert not await add(world, profile_seed(ANN, "somebody else"))
    assert await world.profile(ANN) == Profile(
        id=ANN, uuid="u", nickname="安", icon_id=3, signature="hi", vip=1, created=5, public_updated=NOW,
        private_updated=NOW,
    )  # fmt: skip


async def test_a_profile_without_a_time_of_creation_is_created_now(world: StoreHarness) -> None:
    await add(world, EnsureProfile(account=ANN, uuid="u", nickname="Ann"))
    assert (await world.profile(ANN)).created == NOW


async def test_two_that_make_the_same_profile_at_once_make_one(world: StoreHarness) -> None:
    assert sorted(await asyncio.gather(*(add(world, profile_seed(ANN)) for _ in range(8)))) == [False] * 7 + [True]


async def test_nobody_stands_where_nobody_was(world: StoreHarness) -> None:
    assert await account_state(world, ANN) is None
    await world.add_profiles(ANN)
    assert await account_state(world, ANN) == AccountState(deleted=False, in_lobby=False)


async def test_setting_moves_the_time_of_change_within_one_millisecond(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    times = []
    for number in range(3):
        assert await change(world, ANN, nickname=f"n{number}", status=number)
        times.append((await world.profile(ANN)).public_updated)
    assert times == [NOW + 1, NOW + 2, NOW + 3]
    world.now += 1000
    await change(world, ANN, avatar="https://a")
    after = await world.profile(ANN)
    assert (after.public_updated, after.private_updated) == (NOW + 1000, NOW)
    assert (after.nickname, after.status, after.avatar) == ("n2", 2, "https://a")


async def test_the_later_of_both_times_moves_with_either(world: StoreHarness) -> None:
    """v2's update_time is the later one: it must change whenever something does."""
    await world.add_profiles(ANN)
    seen = {NOW}
    for number in range(4):
        if number % 2:
            await world.create_group(ANN)
        else:
            await change(world, ANN, nickname=f"n{number}")
        after = await world.profile(ANN)
        seen.add(max(after.public_updated, after.private_updated))
    assert len(seen) == 5


async def test_changes_at_once_are_all_counted(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    await asyncio.gather(*(change(world, ANN, nickname=f"n{number}") for number in range(10)))
    assert (await world.profile(ANN)).public_updated == NOW + 10


async def test_nobody_unknown_or_deleted_is_changed(world: StoreHarness) -> None:
    assert not await change(world, ANN, nickname="x")
    await world.add_profiles(ANN)
    await world.erase(ANN)
    assert not await change(world, ANN, nickname="x")
    assert (await world.profile(ANN)).nickname == "已注销用户"


async def test_an_erased_profile_keeps_nothing_personal(world: StoreHarness) -> None:
    await add(world, EnsureProfile(account=ANN, uuid="u", nickname="Ann", icon_id=3, signature="hi", vip=1, created=5))
    await change(world, ANN, avatar="https://a", avatar_hash="h", status=4)
    assert await world.erase(ANN, "new")
    assert await world.profile(ANN) == Profile(
        id=ANN,
        uuid="new",
        nickname="已注销用户",
        created=5,
        public_updated=NOW + 2,
        private_updated=NOW + 2,
        deleted=True,
    )
    assert await account_state(world, ANN) == AccountState(deleted=True, in_lobby=False)


async def test_erasing_twice_changes_nothing(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    assert await world.erase(ANN, "first")
    before = await world.profile(ANN)
    assert not await world.erase(ANN, "second")
    assert await world.profile(ANN) == before


async def test_whoever_was_erased_before_it_was_made_is_never_made(world: StoreHarness) -> None:
    assert await world.erase(ANN)
    assert not await add(world, profile_seed(ANN, "Ann"))
    assert (await world.profile(ANN)).deleted


async def test_a_taken_uuid_may_be_free_again_elsewhere_already(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    assert await add(world, EnsureProfile(account=BOB, uuid=f"uuid-{ANN}", nickname="Bob"))


async def test_standing_tells_of_the_lobby(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    await world.database.write(partial(memberships.join_lobby, account=ANN, head=0, now=NOW))
    assert await account_state(world, ANN) == AccountState(deleted=False, in_lobby=False)
    settle = partial(memberships.finish_join, number=LOBBY, account=ANN, unread_from=3, now=NOW, broadcast_from=9)
    await world.database.write(settle)
    assert await account_state(world, ANN) == AccountState(deleted=False, in_lobby=True)
