"""Appending to chats: one transaction for a batch, in which nothing is said twice and no index is left out."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import sqlalchemy as sa

from services.message.domain import Head, Key, Row, stamp
from services.message.store.set_statements import SetStatement, array, byte_array, singles
from shared.contract.ids import ChatId, MessageId
from shared.contract.message import Draft
from shared.contract.model import Message

# Replicas lock in the order of the ids, so that they cannot wait for each other in a circle; SQLite has one writer.
_MAKE_HEADS = SetStatement(
    sqlite="""
        INSERT INTO heads (chat_id, last_index, last_time) SELECT value ->> 0, 0, 0 FROM json_each(:rows) WHERE true
        ON CONFLICT DO NOTHING""",
    postgresql="""
        INSERT INTO heads (chat_id, last_index, last_time)
        SELECT chat_id, 0, 0 FROM unnest(CAST(:a AS bigint[])) AS made (chat_id) ORDER BY chat_id
        ON CONFLICT DO NOTHING""",
)
_LOCK_HEADS = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(chat_id, last_index, last_time)) FROM heads
        WHERE chat_id IN (SELECT value ->> 0 FROM json_each(:rows))""",
    postgresql="""
        SELECT chat_id, last_index, last_time FROM heads WHERE chat_id = ANY(CAST(:a AS bigint[]))
        ORDER BY chat_id FOR UPDATE""",
    packed=True,
)
_SEEN = SetStatement(
    sqlite="""
        SELECT chat_id, "index", messages.id, sender, time, body, nonce
        FROM json_each(:rows) AS key CROSS JOIN messages
        ON chat_id = key.value ->> 0 AND sender = key.value ->> 1 AND nonce = key.value ->> 2""",
    postgresql="""
        SELECT found.* FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]))
        AS key (chat_id, sender, nonce)
        CROSS JOIN LATERAL (
            SELECT chat_id, index, id, sender, time, body, nonce FROM messages
            WHERE nonce = key.nonce AND sender = key.sender AND chat_id = key.chat_id LIMIT 1) AS found""",
)
_MOVE_HEADS = SetStatement(
    sqlite="""
        UPDATE heads SET last_index = moved.value ->> 1, last_time = moved.value ->> 2
        FROM json_each(:rows) AS moved WHERE chat_id = moved.value ->> 0""",
    postgresql="""
        UPDATE heads SET last_index = moved.last_index, last_time = moved.last_time
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]))
        AS moved (chat_id, last_index, last_time)
        WHERE heads.chat_id = moved.chat_id""",
)
# A statement that may leave some of its rows behind keeps no journal of its own; the transaction goes back anyway.
_INSERT_SQLITE = """
    INSERT OR FAIL INTO messages (chat_id, "index", sender, nonce, time, body) VALUES (?, ?, ?, ?, ?, ?)"""
_MANY_ROWS = 64
_INSERT_POSTGRESQL = sa.text("""
    INSERT INTO messages (chat_id, index, sender, nonce, time, body)
    SELECT * FROM unnest(
        CAST(:chat AS bigint[]), CAST(:index AS bigint[]), CAST(:sender AS bigint[]), CAST(:nonce AS bigint[]),
        CAST(:time AS bigint[]), CAST(:body AS bytea[]))
    RETURNING chat_id, index, id""")


class Committed(NamedTuple):
    """One outcome per draft: its message, or None when its deadline had passed. `duplicates`: how many of them an
    earlier attempt had posted."""

    outcomes: list[Message | None]
    duplicates: int


class Stalled(Exception):
    """A deadline passed while the transaction ran; nothing is committed."""


class Repeated(Exception):
    """Some of the drafts may have been posted before, which was not looked for; nothing is committed."""


def make_heads(connection: sa.Connection, chats: Iterable[ChatId]) -> None:
    """Before the heads are locked. Idempotent."""
    _MAKE_HEADS.run(connection, singles(chats))


def post(connection: sa.Connection, drafts: Sequence[Draft], now: Callable[[], int], *, look: bool) -> Committed:
    """With `look`, what was posted before is looked for; without, the index of nonces tells that something was.
    Raises Stalled; Repeated without `look`."""
    chats = singles({draft.chat for draft in drafts})
    heads = {ChatId(row[0]): Head(row[1], row[2]) for row in _LOCK_HEADS.fetch(connection, chats)}
    stamped = stamp(drafts, heads, _seen(connection, drafts) if look else {}, now())
    if not look and None in stamped.outcomes:
        raise Repeated
    posted = _insert(connection, stamped.rows, look=look) if stamped.rows else []
    if stamped.rows:
        _MOVE_HEADS.run(connection, [(chat, *head) for chat, head in stamped.heads.items()])
    if stamped.deadline <= now():
        raise Stalled
    outcomes = [posted[outcome] if isinstance(outcome, int) else outcome for outcome in stamped.outcomes]
    return Committed(outcomes, len(outcomes) - outcomes.count(None) - len(posted))


def _seen(connection: sa.Connection, drafts: Sequence[Draft]) -> dict[Key, Message]:
    keys = [(draft.chat, draft.sender, draft.nonce) for draft in drafts]
    found = (Message(*row) for row in _SEEN.fetch(connection, keys))
    return {(message.chat, message.sender, message.nonce): message for message in found}


def _insert(connection: sa.Connection, rows: Sequence[Row], *, look: bool) -> list[Message]:
    insert = _insert_sqlite if connection.dialect.name == "sqlite" else _insert_postgresql
    try:
        ids = insert(connection, rows)
    except sa.exc.IntegrityError as error:
        if look:
            raise
        raise Repeated from error
    return [
        Message(chat, index, MessageId(number), sender, time, body, nonce)
        for number, (chat, index, sender, nonce, time, body) in zip(ids, rows, strict=True)
    ]


def _insert_sqlite(connection: sa.Connection, rows: Sequence[Row]) -> Iterable[int]:
    """There is one writer: ids follow each other."""
    last = 0
    for start in range(0, len(rows), _MANY_ROWS):
        portion = rows[start : start + _MANY_ROWS]
        values = tuple(chain.from_iterable(portion))
        last = connection.exec_driver_sql(_insertion_sqlite(len(portion)), values).lastrowid
    return range(last - len(rows) + 1, last + 1)


@lru_cache(_MANY_ROWS)
def _insertion_sqlite(several: int) -> str:
    """Of so many rows at once, as the interpreter's lock is given away for each execution."""
    return _INSERT_SQLITE + ", (?, ?, ?, ?, ?, ?)" * (several - 1)


def _insert_postgresql(connection: sa.Connection, rows: Sequence[Row]) -> Iterable[int]:
    *numbers, bodies = zip(*rows, strict=True)
    columns = dict(zip(("chat", "index", "sender", "nonce", "time"), map(array, numbers), strict=True))
    columns["body"] = byte_array(bodies)
    ids = {(chat, index): number for chat, index, number in connection.execute(_INSERT_POSTGRESQL, columns).all()}
    return [ids[row[0], row[1]] for row in rows]
