"""Notices that wait to be shown, on both databases."""

from functools import partial

import msgspec
import pytest

from services.session.store import pending_notifications
from shared.contract.edge import FriendshipAnswered, Notice
from shared.contract.ids import AccountId
from shared.contract.session import PendingNotice
from tests.unit.services.session.store_harness import ANN, BOB, StoreHarness

_DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def people(world: StoreHarness) -> StoreHarness:
    await world.add_profiles(ANN, BOB)
    return world


async def store_notice(world: StoreHarness, applicant: int, *accounts: AccountId) -> dict[AccountId, int]:
    notice = FriendshipAnswered(AccountId(applicant), BOB, accepted=True)
    work = partial(pending_notifications.store, accounts=accounts, notice=notice, now=world.now)
    return (await world.database.write(work)).kept


async def delete_notices(world: StoreHarness, account: AccountId, *numbers: int) -> None:
    await world.database.write(partial(pending_notifications.delete, account=account, numbers=numbers))


def applicants(found: list[PendingNotice]) -> list[int]:
    notices = [msgspec.msgpack.decode(one.notice, type=Notice) for one in found]
    return [notice.applicant for notice in notices if isinstance(notice, FriendshipAnswered)]


async def test_each_drops_its_own(people: StoreHarness) -> None:
    first, second = await store_notice(people, 7, ANN, BOB), await store_notice(people, 8, ANN)
    assert first[ANN] < second[ANN]
    assert applicants(await people.pending_notices(ANN)) == [7, 8]
    await delete_notices(people, ANN, first[ANN], first[BOB], 99)
    assert applicants(await people.pending_notices(ANN)) == [8]
    assert applicants(await people.pending_notices(BOB)) == [7]


async def test_a_number_is_never_used_again(people: StoreHarness) -> None:
    before = (await store_notice(people, 7, ANN))[ANN]
    await delete_notices(people, ANN, before)
    assert (await store_notice(people, 8, ANN))[ANN] > before


async def test_only_the_newest_are_kept(people: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_notifications, "_PER_ACCOUNT", 3)
    for number in range(1, 6):
        await store_notice(people, number, ANN, BOB)
        await delete_notices(people, BOB, *(one.number for one in await people.pending_notices(BOB)))
    monkeypatch.setattr(pending_notifications, "_PER_ACCOUNT", 100)
    assert applicants(await people.pending_notices(ANN)) == [3, 4, 5]
    assert await people.pending_notices(BOB) == []


async def test_what_is_old_is_forgotten(people: StoreHarness) -> None:
    start = people.now
    await store_notice(people, 1, ANN)
    people.now = start + 90 * _DAY_MS - 1
    await store_notice(people, 2, ANN)
    assert applicants(await people.pending_notices(ANN)) == [1, 2]
    people.now += 1
    assert applicants(await people.pending_notices(ANN)) == [2]
    await store_notice(people, 3, ANN)
    people.now = start
    assert applicants(await people.pending_notices(ANN)) == [2, 3]
