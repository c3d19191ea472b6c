"""Appends messages to chats, one transaction per batch. Deduplication recognizes a repeated draft by its nonce. The
indexes have no gaps."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

import sqlalchemy as sa

from services.message.domain import Head, MessageKey, NewRow, assign_indexes
from services.message.store.drafts import remove_sent
from services.message.store.revisions import find_first_bodies
from services.message.store.set_statements import SetStatement, array_text, bytea_array_text, values_text
from shared.contract.ids import ChatId, MessageId
from shared.contract.message import Draft
from shared.contract.model import Message
from shared.database import IS_CITUS, insert_sqlite

# Replicas lock the rows of last indexes in the order of the chats' ids, so that there are no deadlocks. SQLite has only
# one writer. The rows are locked by the UPDATE, because Citus allows SELECT … FOR UPDATE only within one shard.
_ADVANCE_HEADS = SetStatement(
    sqlite="""
        INSERT INTO heads (chat_id, last_index, last_time)
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:rows) WHERE true
        ON CONFLICT DO UPDATE SET last_index = heads.last_index + excluded.last_index,
            last_time = max(heads.last_time + excluded.last_index, excluded.last_time)""",
    postgresql="""
        INSERT INTO heads (chat_id, last_index, last_time)
        SELECT * FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]))
        AS added (chat_id, messages, time) ORDER BY chat_id
        ON CONFLICT (chat_id) DO UPDATE SET last_index = heads.last_index + excluded.last_index,
            last_time = greatest(heads.last_time + excluded.last_index, excluded.last_time)
        RETURNING heads.chat_id, heads.last_index, heads.last_time""",
    citus="""
        INSERT INTO heads (chat_id, last_index, last_time) VALUES {rows}
        ON CONFLICT (chat_id) DO UPDATE SET last_index = heads.last_index + excluded.last_index,
            last_time = greatest(heads.last_time + excluded.last_index, excluded.last_time)
        RETURNING heads.chat_id, heads.last_index, heads.last_time""",
    selected="""
        SELECT json_group_array(json_array(chat_id, last_index, last_time)) FROM heads
        WHERE chat_id IN (SELECT value ->> 0 FROM json_each(:rows))""",
    packed=True,
)
_FIND_POSTED = SetStatement(
    sqlite="""
        SELECT chat_id, "index", messages.id, sender, time, body, nonce
        FROM json_each(:rows) AS key CROSS JOIN messages
        ON chat_id = key.value ->> 0 AND sender = key.value ->> 1 AND nonce = key.value ->> 2""",
    postgresql="""
        SELECT chat_id, index, id, sender, time, body, nonce
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS key (chat_id, sender, nonce)
        JOIN messages USING (chat_id, sender, nonce)
        /* citus: WHERE chat_id = ANY(CAST(:a AS bigint[])) */""",
)
_UPDATE_HEADS = SetStatement(
    sqlite="""
        UPDATE heads SET last_index = moved.value ->> 1, last_time = moved.value ->> 2
        FROM json_each(:rows) AS moved WHERE chat_id = moved.value ->> 0""",
    postgresql="""
        UPDATE heads SET last_index = moved.last_index, last_time = moved.last_time
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]))
        AS moved (chat_id, last_index, last_time)
        WHERE heads.chat_id = moved.chat_id /* citus: AND heads.chat_id = ANY(CAST(:a AS bigint[])) */""",
)
# With OR FAIL, SQLite need not undo the first rows of a failed statement, so it writes no statement journal. The whole
# transaction is rolled back anyway.
_INSERT_SQLITE: Final = """
    INSERT OR FAIL INTO messages (chat_id, "index", sender, nonce, time, body) VALUES (?, ?, ?, ?, ?, ?)"""
_MAX_ROWS: Final = 64
_INSERT_CITUS = """
    INSERT INTO messages (chat_id, index, sender, nonce, time, body) VALUES {} RETURNING chat_id, index, id"""
_INSERT_POSTGRESQL = sa.text("""
    INSERT INTO messages (chat_id, index, sender, nonce, time, body)
    SELECT * FROM unnest(
        CAST(:chat AS bigint[]), CAST(:index AS bigint[]), CAST(:sender AS bigint[]), CAST(:nonce AS bigint[]),
        CAST(:time AS bigint[]), CAST(:body AS bytea[]))
    RETURNING chat_id, index, id""")


class PostedBatch(NamedTuple):
    """`results` has one entry per draft: the draft's message, or None if the deadline of the draft had passed.
    `duplicates`: the number of drafts that an earlier attempt had posted. `changed`: the chat, index and first body of
    the messages that have changed since."""

    results: list[Message | None]
    duplicates: int
    changed: frozenset[tuple[ChatId, int, bytes]] = frozenset()


class DeadlinePassed(Exception):
    """The deadline of a draft passed during the transaction, which was rolled back."""


class DuplicateDetected(Exception):
    """Some drafts may have been posted before, which this transaction did not check. The transaction was rolled
    back."""


def post(
    connection: sa.Connection, drafts: Sequence[Draft], now: Callable[[], int], *, check_duplicates: bool
) -> PostedBatch:
    """Post the drafts. With `check_duplicates`, drafts that were posted before are looked up first. Without it, the
    unique index of nonces detects them. Raises DeadlinePassed and, without `check_duplicates`, DuplicateDetected."""
    began = now()
    heads = _advance_heads(connection, drafts, began, lock_only=check_duplicates)
    earlier = _find_posted(connection, drafts) if check_duplicates else {}
    indexed = assign_indexes(drafts, heads, earlier, began)
    if not check_duplicates and None in indexed.results:
        raise DuplicateDetected
    posted = _insert(connection, indexed.rows, check_duplicates=check_duplicates) if indexed.rows else []
    if indexed.rows and check_duplicates:
        _UPDATE_HEADS.run(connection, [(chat, *head) for chat, head in indexed.heads.items()])
    new = (draft for draft, result in zip(drafts, indexed.results, strict=True) if isinstance(result, int))
    if saved := [draft for draft in new if draft.saved]:
        remove_sent(connection, saved)
    if indexed.deadline <= now():
        raise DeadlinePassed
    results = [posted[result] if isinstance(result, int) else result for result in indexed.results]
    changed = find_first_bodies(connection, drafts, results) if earlier else frozenset()
    return PostedBatch(results, len(results) - results.count(None) - len(posted), changed)


def _advance_heads(
    connection: sa.Connection, drafts: Iterable[Draft], now: int, *, lock_only: bool
) -> dict[ChatId, Head]:
    """Create and lock the chats' rows, and increase their last indexes by the number of messages, as `assign_indexes`
    will do. With `lock_only`, the rows are only locked, because some drafts may not be new messages. Returns the
    previous last indexes and times."""
    added = dict.fromkeys((draft.chat for draft in drafts), 0)
    if not lock_only:
        for chat, _, _ in {(draft.chat, draft.sender, draft.nonce) for draft in drafts}:
            added[chat] += 1
    rows = [(chat, count, count and now + count - 1) for chat, count in added.items()]
    advanced = _ADVANCE_HEADS.fetch(connection, rows)
    return {ChatId(chat): (index - added[chat], time - added[chat]) for chat, index, time in advanced}


def _find_posted(connection: sa.Connection, drafts: Sequence[Draft]) -> dict[MessageKey, Message]:
    keys = [(draft.chat, draft.sender, draft.nonce) for draft in drafts]
    found = (Message(*row) for row in _FIND_POSTED.fetch(connection, keys))
    return {(message.chat, message.sender, message.nonce): message for message in found}


def _insert(connection: sa.Connection, rows: Sequence[NewRow], *, check_duplicates: bool) -> list[Message]:
    try:
        ids = (_insert_sqlite if connection.dialect.name == "sqlite" else _insert_postgresql)(connection, rows)
    except sa.exc.IntegrityError as error:
        if check_duplicates:
            raise
        raise DuplicateDetected from error
    return [
        Message(chat, index, MessageId(number), sender, time, body, nonce)
        for number, (chat, index, sender, nonce, time, body) in zip(ids, rows, strict=True)
    ]


def _insert_sqlite(connection: sa.Connection, rows: Sequence[NewRow]) -> Iterable[int]:
    """Insert messages into SQLite. SQLite has only one writer, so the ids of the messages are consecutive."""
    last = 0
    for start in range(0, len(rows), _MAX_ROWS):
        chunk = rows[start : start + _MAX_ROWS]
        values = tuple(chain.from_iterable(chunk))
        last = insert_sqlite(connection, _insert_statement_sqlite(len(chunk)), values)
    return range(last - len(rows) + 1, last + 1)


@lru_cache(_MAX_ROWS)
def _insert_statement_sqlite(rows: int) -> str:
    """The statement that inserts several rows at once. Each execution releases Python's global lock, which takes time,
    so fewer executions are cheaper."""
    return _INSERT_SQLITE + ", (?, ?, ?, ?, ?, ?)" * (rows - 1)


def _insert_postgresql(connection: sa.Connection, rows: Sequence[NewRow]) -> Iterable[int]:
    if connection.info[IS_CITUS]:
        values = values_text([(*numbers, rf"\x{body.hex()}") for *numbers, body in rows])
        inserted = connection.exec_driver_sql(_INSERT_CITUS.format(values))
    else:
        *columns, bodies = zip(*rows, strict=True)
        parameters = dict(zip(("chat", "index", "sender", "nonce", "time"), map(array_text, columns), strict=True))
        inserted = connection.execute(_INSERT_POSTGRESQL, parameters | {"body": bytea_array_text(bodies)})
    ids = {(chat, index): number for chat, index, number in inserted.all()}
    return [ids[row[0], row[1]] for row in rows]
