"""Events are stored until a client confirms them, on both databases."""

from functools import partial

import msgspec
import pytest

from services.session.store import pending_notifications
from shared.contract.contacts import PendingEvent
from shared.contract.edge import EdgeEvent, FriendshipAnswered
from shared.contract.ids import AccountId
from tests.unit.services.session.store_harness import ANN, BOB, StoreHarness

_DAY_MS = 24 * 3600 * 1000


async def store_event(store: StoreHarness, applicant: int, *accounts: AccountId) -> dict[AccountId, int]:
    event = FriendshipAnswered(AccountId(applicant), BOB, accepted=True)
    work = partial(pending_notifications.store, accounts=accounts, event=event, now=store.now)
    return (await store.database.write(work)).kept


async def delete_events(store: StoreHarness, account: AccountId, *numbers: int) -> None:
    await store.database.write(partial(pending_notifications.delete, account=account, numbers=numbers))


def applicants(found: list[PendingEvent]) -> list[int]:
    events = [msgspec.msgpack.decode(one.event, type=EdgeEvent) for one in found]
    return [event.applicant for event in events if isinstance(event, FriendshipAnswered)]


async def test_numbers_are_never_reused(populated: StoreHarness) -> None:
    before = (await store_event(populated, 7, ANN))[ANN]
    await delete_events(populated, ANN, before)
    assert (await store_event(populated, 8, ANN))[ANN] > before


async def test_only_the_newest_events_are_stored(populated: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_notifications, "_PER_ACCOUNT", 3)
    for number in range(1, 6):
        await store_event(populated, number, ANN, BOB)
        await delete_events(populated, BOB, *(one.number for one in await populated.pending_events(BOB)))
    monkeypatch.setattr(pending_notifications, "_PER_ACCOUNT", 100)
    assert applicants(await populated.pending_events(ANN)) == [3, 4, 5]
    assert await populated.pending_events(BOB) == []


async def test_old_events_expire(populated: StoreHarness) -> None:
    start = populated.now
    await store_event(populated, 1, ANN)
    populated.now = start + 90 * _DAY_MS - 1
    await store_event(populated, 2, ANN)
    assert applicants(await populated.pending_events(ANN)) == [1, 2]
    populated.now += 1
    assert applicants(await populated.pending_events(ANN)) == [2]
    await store_event(populated, 3, ANN)
    populated.now = start
    assert applicants(await populated.pending_events(ANN)) == [2, 3]
