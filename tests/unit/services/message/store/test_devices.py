"""Tests the devices that get their own missed messages, on both databases."""

import itertools

import pytest

from services.message.domain import Cursor, reader
from services.message.store import MessageStore
from shared.contract.ids import AccountId, ChatId, DeviceId, Nonce
from shared.contract.message import MAX_DEVICES, DevicePosition, Draft, OpenDevice, ReadRange
from shared.database import Database

ANN, BOB = AccountId(1), AccountId(2)
ROOM, HALL = ChatId(1), ChatId(2)
DAY_MS = 86_400_000
MANY = 100


@pytest.fixture
async def store(database: Database) -> MessageStore:
    """A store with 20 messages in the chat ROOM. Its clock is two days later at each call."""
    await MessageStore(database).post([Draft(BOB, ROOM, Nonce(number), 2**62, b"x") for number in range(20)])
    return MessageStore(database, itertools.count(0, 2 * DAY_MS).__next__)


async def opened(store: MessageStore, name: str, account: AccountId = ANN) -> DeviceId:
    return await store.open_device(OpenDevice(account, name))


async def state(store: MessageStore, device: DeviceId, chat: ChatId = ROOM, account: AccountId = ANN) -> Cursor | None:
    key = reader(account, device), chat
    return (await store.read(lambda snapshot: snapshot.cursors([key]))).get(key)


async def test_a_new_device_begins_with_what_the_account_has(store: MessageStore) -> None:
    await store.mark_read([ReadRange(ANN, ROOM, 1, 3, 3), ReadRange(ANN, ROOM, 5, 6)], MANY)
    laptop = await opened(store, "laptop")
    assert await state(store, laptop) == Cursor(3, ((5, 6),))
    await store.mark_read([ReadRange(ANN, ROOM, 1, 9, 9)], MANY)
    assert await opened(store, "laptop") == laptop
    assert await state(store, laptop) == Cursor(3, ((5, 6),)), "only the first login begins with it"


async def test_each_device_has_its_own_position(store: MessageStore) -> None:
    laptop, phone, other = await opened(store, "laptop"), await opened(store, "phone"), await opened(store, "x", BOB)
    assert len({laptop, phone, other}) == 3
    positions = [DevicePosition(ANN, laptop, ROOM, 7), DevicePosition(ANN, phone, ROOM, 99)]
    await store.mark_read([ReadRange(ANN, ROOM, 7, 7)], MANY, positions)
    await store.mark_read([], MANY, [DevicePosition(ANN, laptop, ROOM, 4)])
    assert await state(store, laptop) == Cursor(7)
    assert await state(store, phone) == Cursor(20), "no more than there is"
    assert await state(store, DeviceId(0)) == Cursor(0, ((7, 7),))
    assert await state(store, other, account=BOB) is None


async def test_devices_end_with_their_account(store: MessageStore) -> None:
    laptop, other = await opened(store, "laptop"), await opened(store, "laptop", BOB)
    both = [DevicePosition(ANN, laptop, ROOM, 7), DevicePosition(BOB, other, ROOM, 8)]
    await store.mark_read([], MANY, both)
    assert sorted(await store.with_read_state([ANN, BOB])) == [ANN, BOB]
    await store.erase(ANN)
    await store.mark_read([], MANY, both)
    assert await state(store, laptop) is None, "although a position came late"
    assert await state(store, other, account=BOB) == Cursor(8)
    assert await store.with_read_state([ANN, BOB]) == [BOB]
    assert (await store.list_devices(ANN), await store.list_devices(BOB)) == ([], ["laptop"])


async def test_a_new_device_replaces_the_one_that_logged_in_longest_ago(store: MessageStore) -> None:
    names = [f"device {number:02}" for number in range(MAX_DEVICES)]
    first, second, *_ = [await opened(store, name) for name in names]
    await store.mark_read([], MANY, [DevicePosition(ANN, first, ROOM, 7), DevicePosition(ANN, second, ROOM, 7)])
    assert await opened(store, names[0]) == first
    await opened(store, "new")
    assert await store.list_devices(ANN) == [names[0], *names[2:], "new"]
    assert await state(store, first) == Cursor(7)
    assert await state(store, second) is None
    assert await opened(store, names[1]) not in (first, second), "no id is assigned twice"


async def test_a_new_device_stays_although_the_clock_was_ahead(database: Database) -> None:
    store = MessageStore(database, itertools.count(9 * DAY_MS, -1).__next__)
    for number in range(MAX_DEVICES + 2):
        device = await opened(store, f"device {number:02}")
        assert await opened(store, f"device {number:02}") == device
    assert len(await store.list_devices(ANN)) == MAX_DEVICES
