"""Tests the settings that only the account itself sees, on both databases."""

from functools import partial

from services.session.store import own_settings, profiles
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.contract.own_settings import OwnSettings, SetOwnSettings
from tests.unit.services.session.store_harness import ANN, BOB, StoreHarness, rejection


async def change(store: StoreHarness, request: SetOwnSettings) -> OwnSettings:
    return await store.database.write(partial(own_settings.change, request=request))


async def found(store: StoreHarness, account: AccountId) -> OwnSettings:
    return await store.database.read(partial(own_settings.find, account=account))


async def test_what_is_not_given_stays(populated: StoreHarness) -> None:
    assert await found(populated, ANN) == OwnSettings()
    quiet = SetOwnSettings(0, "de", "Europe/Berlin", "22:00", "07:00", actor=ANN)
    assert await change(populated, quiet) == OwnSettings(1, "de", "Europe/Berlin", "22:00", "07:00")
    changed = await change(populated, SetOwnSettings(until=2**42, level="none", actor=ANN))
    assert changed == OwnSettings(2, "de", "Europe/Berlin", "22:00", "07:00", 2**42, "none")
    assert await found(populated, ANN) == changed
    assert await found(populated, BOB) == OwnSettings()


async def test_of_two_devices_the_later_one_gets_a_conflict(populated: StoreHarness) -> None:
    await change(populated, SetOwnSettings(0, level="none", actor=ANN))
    failure = await rejection(change(populated, SetOwnSettings(0, level="mentions", actor=ANN)))
    assert (failure.code, failure.field) == (ErrorCode.CONFLICT, "if_rev")
    assert await found(populated, ANN) == OwnSettings(1, level="none")


async def test_a_deleted_account_has_none(populated: StoreHarness) -> None:
    await change(populated, SetOwnSettings(level="none", actor=ANN))
    await populated.database.write(partial(profiles.erase_profile, account=ANN, uuid="u", now=5))
    await populated.remove_data(ANN)
    failure = await rejection(change(populated, SetOwnSettings(level="none", actor=ANN)))
    assert (failure.code, await found(populated, ANN)) == (ErrorCode.NOT_FOUND, OwnSettings())
