"""Delivered and read ranges are merged and limited to posted indexes. They are never lost."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from services.message.domain import Cursor
from services.message.store import MessageStore, open_database
from services.message.store.read_state import mark_read
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, ReadRange
from shared.database import Database
from tests.support.waiting import WAIT_SECONDS, block_until

ANN, BOB = AccountId(1), AccountId(2)
ROOM, HALL = ChatId(1), ChatId(2)
MANY = 100
_WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")


@pytest.fixture
async def store(database: Database) -> MessageStore:
    """A store with 20 messages in the chat ROOM."""
    store = MessageStore(database)
    await store.post([Draft(ANN, ROOM, Nonce(number), 2**62, b"x") for number in range(20)])
    return store


async def state(store: MessageStore, account: AccountId = ANN, chat: ChatId = ROOM) -> Cursor | None:
    return (await store.read(lambda snapshot: snapshot.cursors([(account, chat)]))).get((account, chat))


async def test_indexes_never_posted_cannot_be_read(store: MessageStore) -> None:
    ranges = [ReadRange(ANN, ROOM, 18, 2**62), ReadRange(ANN, ROOM, -5, 1), ReadRange(BOB, ROOM, 21, 30)]
    await store.mark_read([*ranges, ReadRange(BOB, HALL, 1, 1), ReadRange(BOB, ROOM, 9, 8)], MANY)
    assert await state(store) == Cursor(1, ((18, 20),))
    assert await state(store, BOB) is None
    assert await state(store, BOB, HALL) is None
    await store.mark_read([], MANY)


async def test_the_number_of_gaps_is_bounded(store: MessageStore) -> None:
    await store.mark_read([ReadRange(ANN, ROOM, index, index) for index in range(2, 21, 2)], 3)
    assert await state(store) == Cursor(0, ((16, 16), (18, 18), (20, 20)))


async def test_delivery_does_not_read(store: MessageStore) -> None:
    await store.mark_read([ReadRange(ANN, ROOM, 1, 9, 0), ReadRange(ANN, ROOM, 12, 12, 0)], MANY)
    assert await state(store) == Cursor(9, ((12, 12),), 0)
    await store.mark_read([ReadRange(ANN, ROOM, 15, 15, 15), ReadRange(BOB, ROOM, 1, 25, 25)], MANY)
    assert await state(store) == Cursor(9, ((12, 12), (15, 15)), 15), "who writes has read, and need not have received"
    assert await state(store, BOB) == Cursor(20, read_index=20), "no more than there is"
    await store.mark_read([ReadRange(ANN, ROOM, 1, 11, 11)], MANY)
    assert await state(store) == Cursor(12, ((15, 15),), 15), "what is read stays read"


async def test_a_chat_is_unread_until_something_is_read(store: MessageStore) -> None:
    """A chat stays marked as unread when a message is delivered. Messages that were read stay read."""
    await store.mark_read([ReadRange(ANN, ROOM, 1, 20, 20)], MANY)
    for account, cursor in ((ANN, Cursor(20, read_index=20, unread_from=7)), (BOB, Cursor(unread_from=7))):
        await store.mark_unread(account, ROOM, 9)
        await store.mark_unread(account, ROOM, 7)
        assert await state(store, account) == cursor
    await store.mark_read([ReadRange(ANN, ROOM, 3, 5, 0), ReadRange(BOB, ROOM, 1, 5, 0)], MANY)
    assert await state(store) == Cursor(20, read_index=20, unread_from=7)
    assert await state(store, BOB) == Cursor(5, read_index=0, unread_from=7)
    await store.mark_read([ReadRange(ANN, ROOM, 1, 2, 2), ReadRange(BOB, ROOM, 6, 6, 6)], MANY)
    assert await state(store) == Cursor(20, read_index=20)
    assert await state(store, BOB) == Cursor(6, read_index=6)
    await store.mark_unread(ANN, ROOM, 7)
    await store.erase(ANN)
    assert await state(store) is None


@pytest.fixture
async def other(migrated_url: str) -> AsyncIterator[MessageStore]:
    """The store of another replica."""
    database = open_database(migrated_url)
    yield MessageStore(database)
    await database.close()


async def test_replicas_lose_no_range(store: MessageStore, other: MessageStore) -> None:
    """Two replicas mark every index of many accounts at the same time, in random order."""
    accounts = [AccountId(number) for number in range(1, 9)]
    ranges = [ReadRange(account, ROOM, index, index) for account in accounts for index in range(1, 21)]
    random.shuffle(ranges)
    parts = [ranges[start : start + 16] for start in range(0, len(ranges), 16)]
    await asyncio.gather(*((store, other)[number % 2].mark_read(part, MANY) for number, part in enumerate(parts)))
    for account in accounts:
        assert await state(store, account) == Cursor(20)


async def test_erase_deletes_only_the_read_state_of_the_account(store: MessageStore) -> None:
    await store.mark_read([ReadRange(ANN, ROOM, 1, 3), ReadRange(BOB, ROOM, 1, 4)], MANY)
    assert sorted(await store.with_read_state([ANN, BOB, AccountId(99)])) == [ANN, BOB]
    await store.erase(ANN)
    await store.erase(ANN)
    assert await store.with_read_state([ANN, BOB, AccountId(99)]) == [BOB]
    assert await state(store) is None
    assert await state(store, BOB) == Cursor(4)
    assert await store.read(lambda snapshot: snapshot.heads([ROOM])) == {ROOM: 20}


async def test_what_an_account_reads_while_it_is_erased_causes_no_deadlock(
    store: MessageStore, database: Database
) -> None:
    await store.post([Draft(ANN, HALL, Nonce(99), 2**62, b"x")])
    for chat in (HALL, ROOM):  # the database may find the row of the later chat first
        await store.mark_read([ReadRange(ANN, chat, 1, 1)], MANY)
    began = threading.Event()

    def read(connection: sa.Connection) -> None:
        mark_read(connection, [ReadRange(ANN, ROOM, 1, 1, 1)], MANY)
        began.set()
        if connection.dialect.name == "postgresql":
            block_until(lambda: connection.execute(_WAITING).scalar_one() > 0)
        mark_read(connection, [ReadRange(ANN, HALL, 1, 1, 1)], MANY)

    reading = asyncio.create_task(database.write(read))
    await asyncio.to_thread(began.wait, WAIT_SECONDS)
    await store.erase(ANN)
    await reading
    assert await store.with_read_state([ANN]) == []
