"""Tests profiles on both databases."""

import asyncio
from functools import partial

import pytest

from services.session.domain import LOBBY
from services.session.store import memberships, profiles
from services.session.store.profiles import AccountState
from shared.contract.ids import AccountId
from shared.contract.model import Profile
from shared.contract.session import EnsureProfile
from tests.unit.services.session.store_harness import ANN, BOB, NOW, StoreHarness, profile_seed


async def add(store: StoreHarness, profile: EnsureProfile) -> bool:
    return await store.database.write(partial(profiles.add_profile, seed=profile, now=store.now))


async def change(store: StoreHarness, account: AccountId, **values: str | int) -> Profile | None:
    return await store.database.write(partial(profiles.set_profile, account=account, values=values, now=store.now))


async def account_state(store: StoreHarness, account: AccountId) -> AccountState | None:
    return await store.database.read(partial(profiles.account_state, account=account))


async def test_profile_is_created_once(store: StoreHarness) -> None:
    first = EnsureProfile(account=ANN, uuid="u", nickname="安", icon_id=3, signature="hi", vip=1, created=5)
    assert await add(store, first)
    store.now += 7
    assert not await add(store, profile_seed(ANN, "somebody else"))
    assert await store.profile(ANN) == Profile(
        id=ANN, uuid="u", nickname="安", icon_id=3, signature="hi", vip=1, created=5, public_updated=NOW,
        private_updated=NOW,
    )  # fmt: skip


async def test_missing_creation_time_is_now(store: StoreHarness) -> None:
    await add(store, EnsureProfile(account=ANN, uuid="u", nickname="Ann"))
    assert (await store.profile(ANN)).created == NOW


async def test_concurrent_creations_create_one_profile(store: StoreHarness) -> None:
    assert sorted(await asyncio.gather(*(add(store, profile_seed(ANN)) for _ in range(8)))) == [False] * 7 + [True]


async def test_a_nick_that_another_transaction_takes_meanwhile_is_left_out(
    store: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(store, EnsureProfile(account=ANN, uuid="a", nickname="Ann", nick="gus"))
    find, answers = profiles.is_nick_taken, [False]
    monkeypatch.setattr(profiles, "is_nick_taken", lambda *of, **but: answers.pop() if answers else find(*of, **but))
    assert await add(store, EnsureProfile(account=BOB, uuid="b", nickname="Bob", nick="Gus"))
    assert (await store.profile(BOB)).nick == ""
    answers.append(False)
    await store.database.write(profiles.set_nick, BOB, "Gus", NOW)
    assert (await store.profile(BOB)).nick == ""


async def test_unknown_account_has_no_state(store: StoreHarness) -> None:
    assert await account_state(store, ANN) is None
    await store.add_profiles(ANN)
    assert await account_state(store, ANN) == AccountState(deleted=False, in_lobby=False, uuid=f"uuid-{ANN}", nick="")


async def test_time_of_change_grows_within_one_millisecond(store: StoreHarness) -> None:
    await store.add_profiles(ANN)
    times = []
    for number in range(3):
        assert await change(store, ANN, nickname=f"n{number}", status=number)
        times.append((await store.profile(ANN)).public_updated)
    assert times == [NOW + 1, NOW + 2, NOW + 3]
    store.now += 1000
    await change(store, ANN, avatar="https://a")
    after = await store.profile(ANN)
    assert (after.public_updated, after.private_updated) == (NOW + 1000, NOW)
    assert (after.nickname, after.status, after.avatar) == ("n2", 2, "https://a")


async def test_later_time_of_change_grows_with_either_kind(store: StoreHarness) -> None:
    """The value `update_time` of OurChat v2 is the later of two times. It must grow with every change."""
    await store.add_profiles(ANN)
    listed = {NOW}
    for number in range(4):
        if number % 2:
            await store.create_group(ANN)
        else:
            await change(store, ANN, nickname=f"n{number}")
        after = await store.profile(ANN)
        listed.add(max(after.public_updated, after.private_updated))
    assert len(listed) == 5


async def test_concurrent_changes_each_increase_the_time_of_change(store: StoreHarness) -> None:
    await store.add_profiles(ANN)
    await asyncio.gather(*(change(store, ANN, nickname=f"n{number}") for number in range(10)))
    assert (await store.profile(ANN)).public_updated == NOW + 10


async def test_unknown_and_deleted_accounts_are_not_changed(store: StoreHarness) -> None:
    assert not await change(store, ANN, nickname="x")
    await store.add_profiles(ANN)
    await store.erase(ANN)
    assert not await change(store, ANN, nickname="x")
    assert (await store.profile(ANN)).nickname == "已注销用户"


async def test_erased_profile_holds_no_personal_data(store: StoreHarness) -> None:
    await add(store, EnsureProfile(account=ANN, uuid="u", nickname="Ann", icon_id=3, signature="hi", vip=1, created=5))
    await change(store, ANN, avatar="https://a", avatar_hash="h", status=4)
    assert await store.erase(ANN, "new")
    assert await store.profile(ANN) == Profile(
        id=ANN,
        uuid="new",
        nickname="已注销用户",
        created=5,
        public_updated=NOW + 2,
        private_updated=NOW + 2,
        deleted=True,
    )
    assert await account_state(store, ANN) == AccountState(deleted=True, in_lobby=False, uuid="new", nick="")


async def test_repeated_erasure_changes_nothing(store: StoreHarness) -> None:
    await store.add_profiles(ANN)
    assert await store.erase(ANN, "first")
    before = await store.profile(ANN)
    assert not await store.erase(ANN, "second")
    assert await store.profile(ANN) == before


async def test_account_erased_before_its_creation_is_never_created(store: StoreHarness) -> None:
    assert await store.erase(ANN)
    assert not await add(store, profile_seed(ANN, "Ann"))
    assert (await store.profile(ANN)).deleted


async def test_uuid_of_another_profile_is_accepted(store: StoreHarness) -> None:
    await store.add_profiles(ANN)
    assert await add(store, EnsureProfile(account=BOB, uuid=f"uuid-{ANN}", nickname="Bob"))


async def test_account_state_includes_the_lobby_join(store: StoreHarness) -> None:
    await store.add_profiles(ANN)
    await store.database.write(partial(memberships.join_lobby, account=ANN, head=0, now=NOW))
    assert await account_state(store, ANN) == AccountState(deleted=False, in_lobby=False, uuid=f"uuid-{ANN}", nick="")
    settle = partial(memberships.finish_joins, number=LOBBY, accounts=[ANN], unread_from=3, now=NOW, broadcast_from=9)
    await store.database.write(settle)
    assert await account_state(store, ANN) == AccountState(deleted=False, in_lobby=True, uuid=f"uuid-{ANN}", nick="")


async def test_more_summaries_than_a_statement_can_read_are_read(store: StoreHarness) -> None:
    """A statement has at most 65,535 parameters in PostgreSQL, and 32,766 in SQLite by default.

    A group may have more members.
    """
    await store.add_profiles(ANN, BOB)
    accounts = [AccountId(number) for number in range(1, 65_537)]
    found = await store.database.read(partial(profiles.summaries_of, accounts=accounts))
    assert found.keys() == {ANN, BOB}
