"""Messages are appended to chats: indexes without gaps, no duplicates, deadlines, and several replicas at the same
time.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import pytest
import sqlalchemy as sa

from services.message.store import CommitUnconfirmed, MessageStore, open_database
from services.message.store.posting import post as append
from services.message.tables import messages
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import Message
from shared.database import Database, DatabaseUnavailable
from shared.migrate import upgrade
from tests.support.servers import PostgresServer

T = TypeVar("T")

NOW = 1_700_000_000_000


def draft(nonce: int, chat: int = 1, sender: int = 1, deadline: int = NOW + 1000, body: bytes = b"\x00\xffhi") -> Draft:
    return Draft(AccountId(sender), ChatId(chat), Nonce(nonce), deadline, body)


class SteppedClock:
    """A clock that stands still until the test changes `now`."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def store(database: Database, clock: SteppedClock) -> MessageStore:
    return MessageStore(database, clock)


@pytest.fixture
async def replicas(migrated_url: str) -> AsyncIterator[list[MessageStore]]:
    """Two replicas, each with its own connection."""
    databases = [open_database(migrated_url), open_database(migrated_url)]
    yield [MessageStore(database) for database in databases]
    for database in databases:
        await database.close()


async def post(store: MessageStore, *drafts: Draft) -> list[Message]:
    """Posts drafts. All must be committed."""
    results = (await store.post(drafts)).results
    assert None not in results
    return [message for message in results if message is not None]


async def stored(database: Database) -> list[Message]:
    columns = [messages.c[name] for name in ("chat_id", "index", "id", "sender", "time", "body", "nonce")]
    ordered = sa.select(*columns).order_by(messages.c.chat_id, messages.c.index)
    rows: Sequence[Any] = await database.read(lambda connection: connection.execute(ordered).all())
    return [Message(*row) for row in rows]


async def test_messages_are_indexed_by_chat_and_stored(store: MessageStore, database: Database) -> None:
    posted = await post(store, draft(1), draft(2, chat=2), draft(3, sender=2))
    posted += await post(store, draft(4, deadline=2**62))
    assert [(message.chat, message.index) for message in posted] == [(1, 1), (2, 1), (1, 2), (1, 3)]
    assert [message.nonce for message in posted] == [1, 2, 3, 4]
    assert {message.body for message in posted} == {b"\x00\xffhi"}
    assert len({message.id for message in posted}) == 4
    assert all(0 < message.id < 2**53 for message in posted)
    assert await stored(database) == [posted[0], posted[2], posted[3], posted[1]]


async def test_times_increase_within_a_chat_when_the_clock_is_set_back(
    store: MessageStore, clock: SteppedClock
) -> None:
    posted = await post(store, draft(1), draft(2))
    clock.now -= 3_600_000
    posted += await post(store, draft(3))
    clock.now += 7_200_000
    posted += await post(store, draft(4, deadline=2**62))
    assert [message.time for message in posted] == [NOW, NOW + 1, NOW + 2, NOW + 3_600_000]


async def test_a_nonce_is_posted_once(store: MessageStore, database: Database) -> None:
    first = await post(store, draft(1, body=b"first"), draft(2**63 - 1))
    again = await store.post([draft(3), draft(1, body=b"changed"), draft(2**63 - 1, deadline=NOW), draft(3)])
    assert again.results[1:3] == first
    assert again.results[0] == again.results[3]
    assert again.duplicates == 3
    assert [row.index for row in await stored(database)] == [1, 2, 3]


@pytest.mark.parametrize("seed", range(2))
async def test_the_results_are_the_same_with_and_without_the_duplicate_check(
    database: Database, store: MessageStore, clock: SteppedClock, seed: int
) -> None:
    """Posts batches of old, new and late drafts to two pairs of chats.

    For one pair, the check for duplicates runs only if it is needed; for the other, always.
    """
    rng = random.Random(seed)
    for _ in range(25):
        clock.now += rng.randrange(300)
        drafts = [
            draft(rng.randrange(60), rng.choice([1, 2]), 1, NOW + rng.randrange(4_000))
            for _ in range(rng.randint(1, 5))
        ]
        unchecked = await store.post(drafts)
        copies = [msgspec.structs.replace(one, chat=ChatId(one.chat + 100)) for one in drafts]
        checked = await database.write(partial(append, drafts=copies, now=clock, check_duplicates=True))
        assert [one and (one.chat + 100, one.index, one.time, one.nonce) for one in unchecked.results] == [
            one and (one.chat, one.index, one.time, one.nonce) for one in checked.results
        ]
        assert unchecked.duplicates == checked.duplicates


async def test_a_deadline_that_passes_within_the_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction stops after the insert, and continues after the deadline."""
    times: Iterator[int] = iter([NOW, NOW + 600, NOW + 600, NOW + 600])
    store = MessageStore(database, lambda: next(times))
    committed = await store.post([draft(1, deadline=NOW + 500), draft(2, deadline=NOW + 900)])
    assert committed.results[0] is None
    assert [(row.nonce, row.index) for row in await stored(database)] == [(2, 1)]


async def test_more_rows_than_fit_into_one_statement(store: MessageStore, database: Database) -> None:
    for count in (63, 64, 65, 200):
        first = len(await stored(database))
        posted = await post(store, *[draft(first + nonce, body=b"%d" % nonce) for nonce in range(count)])
        assert await stored(database) == (await stored(database))[:first] + posted


async def test_content_that_the_database_rejects_leaves_nothing(store: MessageStore, database: Database) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 (each driver has its own)
        await store.post([draft(1), draft(2**64)])
    assert not isinstance(raised.value, DatabaseUnavailable)
    assert store.posting_since is None, "search need not wait for a result"
    assert await stored(database) == []
    assert [message.index for message in await post(store, draft(1))] == [1]


async def test_replicas_leave_no_gaps_and_never_deadlock(replicas: list[MessageStore], database: Database) -> None:
    """The batches have some chats in common, in opposite orders. Most of the chats are new."""

    async def post_batches(replica: int) -> None:
        for number in range(20):
            chats = range(1 + number // 4, 9 + number // 4)
            drafts = [
                Draft(AccountId(replica), ChatId(chat), Nonce(number * 100 + chat), 2**62, b"x")
                for chat in (reversed(chats) if replica % 2 else chats)
            ]
            await post(replicas[replica % 2], *drafts)

    await asyncio.gather(*(post_batches(replica) for replica in range(1, 5)))
    rows = await stored(database)
    assert len(rows) == 4 * 20 * 8
    for chat in {row.chat for row in rows}:
        of_chat = [row for row in rows if row.chat == chat]
        assert [row.index for row in of_chat] == list(range(1, len(of_chat) + 1))
        times = [row.time for row in of_chat]
        assert times == sorted(set(times))
    assert len({row.id for row in rows}) == len(rows)


async def test_replicas_that_get_the_same_draft_post_it_once(replicas: list[MessageStore], database: Database) -> None:
    drafts = [Draft(AccountId(1), ChatId(5), Nonce(nonce), 2**62, b"x") for nonce in range(20)]
    batches = await asyncio.gather(*(replica.post(drafts) for replica in replicas for _ in range(3)))
    assert all(batch.results == batches[0].results for batch in batches)
    assert sum(batch.duplicates for batch in batches) == 5 * 20
    assert len(await stored(database)) == 20


async def test_a_replica_that_freezes_in_a_transaction_loses_its_locks(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other replica continues. When the frozen replica wakes up, its transaction is not committed."""
    monkeypatch.setattr("shared.database._IDLE_SECONDS", 3)
    with postgres_server.database() as url:
        upgrade("message", url)
        databases = [open_database(url), open_database(url)]
        frozen, other = MessageStore(databases[0], SleepingClock()), MessageStore(databases[1])
        await post(other, draft(1, deadline=2**62))
        freezing = asyncio.create_task(frozen.post([draft(2, deadline=2**62)]))
        await asyncio.sleep(0.3)
        (posted,) = await post(other, draft(3, deadline=2**62))
        assert posted.index == 2
        with pytest.raises(DatabaseUnavailable):
            await freezing
        assert [message.nonce for message in await stored(databases[1])] == [1, 3]
        for database in databases:
            await database.close()


class SleepingClock:
    """A clock whose third reading, at the end of the transaction, takes longer than the transaction may be idle."""

    def __init__(self) -> None:
        self.readings = 0

    def __call__(self) -> int:
        self.readings += 1
        time.sleep(4 if self.readings == 3 else 0)
        return NOW


async def test_an_unreachable_database_commits_nothing(tmp_path: object) -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable) as raised:
        await MessageStore(database).post([draft(1, deadline=2**62)])
    assert not isinstance(raised.value, CommitUnconfirmed)
    await database.close()
