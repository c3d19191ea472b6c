"""Last indexes, ranges of messages and cursors are read in one snapshot."""

from functools import partial

import pytest
import sqlalchemy as sa

from services.message.store import MessageStore, Snapshot, open_database, snapshot
from services.message.store.posting import post
from services.message.store.set_statements import SetStatement, StatementRows, _json, array_texts
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import Message
from shared.database import Database
from tests.support import citus

ANN, BOB = AccountId(1), AccountId(2)
ROOM, HALL = ChatId(1), ChatId(2)


@pytest.fixture
def store(database: Database) -> MessageStore:
    return MessageStore(database)


async def post_messages(store: MessageStore, chat: ChatId, senders: str) -> None:
    """Posts one message of each sender."""
    drafts = [
        Draft(AccountId(int(sender)), chat, Nonce(number), 2**62, b"%d" % number)
        for number, sender in enumerate(senders)
    ]
    await store.post(drafts)


def chat_indexes(messages: list[Message]) -> list[tuple[int, int]]:
    return [(message.chat, message.index) for message in messages]


async def test_ranges_are_read_in_order_without_the_excepted_sender(
    store: MessageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_CHUNK_ROWS", 3)
    await post_messages(store, ROOM, "12212")
    await post_messages(store, HALL, "222")
    ranges = [(ROOM, 2, 4), (ROOM, 5, 9), (HALL, 1, 2)]
    whole = await store.read(lambda snap: list(snap.messages(ranges)))
    assert chat_indexes(whole) == [(1, 2), (1, 3), (1, 4), (1, 5), (2, 1), (2, 2)]
    assert [message.body for message in whole] == [b"1", b"2", b"3", b"4", b"0", b"1"]
    assert chat_indexes(await store.read(lambda snap: list(snap.messages(ranges, BOB)))) == [(1, 4)]
    assert await store.read(lambda snap: list(snap.messages([(ROOM, 9, 20)]))) == []


@pytest.mark.skipif(citus.WANTED, reason="the plans are those of PostgreSQL's statements")
@pytest.mark.parametrize("chats", [1, 3])
async def test_count_reads_only_the_ranges(store: MessageStore, database: Database, chats: int) -> None:
    """This holds for any length of history, and without statistics for the query planner."""
    for chat in range(1, chats + 1):
        await post_messages(store, ChatId(chat), "2" * 400)
    ranges = [(ChatId(chat), 396, 400) for chat in range(1, chats + 1)]
    for statement, more in ((snapshot._COUNT, {}), (snapshot._OLDEST, {"limit": 9})):
        plan = await database.read(partial(_plan, statement, ranges, {"except_sender": ANN, **more}))
        assert "messages_order" in plan or "sqlite_autoindex_messages_1" in plan, plan
        assert "Seq Scan on messages" not in plan, plan


async def test_a_snapshot_has_no_messages_posted_after_it(store: MessageStore, migrated_url: str) -> None:
    await post_messages(store, ROOM, "1")
    other = open_database(migrated_url)

    def read(snap: Snapshot) -> tuple[dict[ChatId, int], int]:
        heads = snap.heads([ROOM])
        other._write(lambda connection: None)
        _post(other)
        return heads, len(list(snap.messages([(ROOM, 1, 9)])))

    assert await store.read(read) == ({ROOM: 1}, 1)
    assert await store.read(lambda snap: snap.heads([ROOM])) == {ROOM: 2}
    await other.close()


def _plan(statement: SetStatement, rows: StatementRows, others: dict[str, object], connection: sa.Connection) -> str:
    if connection.dialect.name == "sqlite":
        plan = sa.text(f"EXPLAIN QUERY PLAN {statement._sqlite}")
        parameters: dict[str, object] = {"rows": _json(rows).decode()}
    else:
        plan = sa.text(f"EXPLAIN {statement._postgresql.text}")
        parameters = array_texts(rows)
    return "\n".join(str(row) for row in connection.execute(plan, parameters | others))


def _post(database: Database) -> None:
    draft = Draft(BOB, ROOM, Nonce(99), 2**62, b"x")
    database._write(lambda connection: post(connection, [draft], lambda: 1, check_duplicates=False))
