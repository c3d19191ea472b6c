"""Stores what is delivered to each account, and what it has read: merges both into its cursors, in any order."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from services.message.domain import Cursor, IndexRange, merge_delivered, read_up_to
from services.message.store.set_statements import SetStatement
from services.message.store.snapshot import Snapshot, decode_cursors, fetch_cursors
from services.message.tables import cursors
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import UNSPECIFIED, ReadRange

_CREATE_CURSORS = SetStatement(
    sqlite="""
        INSERT INTO cursors (account_id, chat_id, read_index, above)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:rows) WHERE true
        ON CONFLICT DO NOTHING""",
    postgresql="""
        INSERT INTO cursors (account_id, chat_id, read_index, above)
        SELECT *
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS text[]))
        AS made (account_id, chat_id, read_index, above) ORDER BY account_id, chat_id ON CONFLICT DO NOTHING""",
    citus="INSERT INTO cursors (account_id, chat_id, read_index, above) VALUES {rows} ON CONFLICT DO NOTHING",
)
_NULL = -1
# Replaces only what was read before, so that no range is lost: Citus cannot lock rows of several shards by SELECT.
# The rows are locked in the order of their keys, which excludes deadlocks: they are given in it, and only nested loops
# are allowed.
_REPLACE_CURSORS = SetStatement(
    sqlite="""
        UPDATE cursors SET read_index = moved.value ->> 2, above = moved.value ->> 3,
            read_upto = nullif(moved.value ->> 4, -1)
        FROM json_each(:rows) AS moved WHERE account_id = moved.value ->> 0 AND chat_id = moved.value ->> 1
        RETURNING 1""",
    postgresql="""
        UPDATE cursors SET read_index = moved.read_index, above = moved.above, read_upto = nullif(moved.read_upto, -1)
        FROM unnest(
            CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS text[]), CAST(:e AS bigint[]),
            CAST(:f AS bigint[]), CAST(:g AS text[]), CAST(:h AS bigint[]))
        AS moved (account_id, chat_id, read_index, above, read_upto, old_index, old_above, old_upto)
        WHERE cursors.account_id = moved.account_id AND cursors.chat_id = moved.chat_id
            AND cursors.read_index = old_index AND cursors.above = old_above
            AND cursors.read_upto IS NOT DISTINCT FROM nullif(old_upto, -1)
            /* citus: AND cursors.chat_id = ANY(CAST(:b AS bigint[])) */
        RETURNING 1""",
)

_json = msgspec.json.Encoder().encode
_Key = tuple[AccountId, ChatId]
_EMPTY, _NEW = Cursor(), (0, "[]", None)
"""A cursor that is created, and its columns."""


class CursorsMoved(Exception):
    """Another process has changed a cursor since it was read; nothing is committed."""


def mark_read(connection: sa.Connection, ranges: Iterable[ReadRange], limit: int) -> None:
    """Merge into the cursors what is delivered and what is read; `limit` as in `merge_delivered`. Indexes never posted
    are ignored. Raises CursorsMoved: to be repeated in a new transaction, since a second attempt in this one could
    deadlock.

    The version before does not tell reading from delivery. While edges of it alone write a cursor, both stay one state;
    from the first write of this version on, a range of theirs that begins with the first message counts as read: that
    is how they say so."""
    heads = Snapshot(connection).heads(one.chat for one in ranges)
    delivered: dict[_Key, list[IndexRange]] = defaultdict(list)
    read: dict[_Key, int] = {}
    distinguished: set[_Key] = set()
    for one in ranges:
        account, chat, low, high, upto = one.account, one.chat, one.low, one.high, one.read
        head = heads.get(chat, 0)
        low, high = max(low, 1), min(high, head)
        if low > high:
            continue
        key = account, chat
        delivered[key].append((low, high))
        if upto != UNSPECIFIED:
            distinguished.add(key)
        elif low == 1:
            upto = high
        if upto > 0:
            read[key] = max(read.get(key, 0), min(upto, head))
    if not delivered:
        return
    keys = sorted(delivered)
    rows = fetch_cursors(connection, keys)
    stored, columns = decode_cursors(rows), {(row[0], row[1]): row[2:] for row in rows}
    if missing := [(*key, *_NEW[:2]) for key in keys if key not in stored]:
        _CREATE_CURSORS.run(connection, missing)
    changed = []
    for key in keys:
        cursor = before = stored.get(key, _EMPTY)
        if key in distinguished or before.marked is not None:
            cursor = read_up_to(cursor, read.get(key, 0))
        cursor = merge_delivered(cursor, delivered[key], limit)
        if cursor != before:
            changed.append((*key, *_encode(cursor), *_parameters(*columns.get(key, _NEW))))
    if changed and len(_REPLACE_CURSORS.fetch(connection, changed)) < len(changed):
        raise CursorsMoved


def erase(connection: sa.Connection, account: AccountId) -> None:
    """Delete an account's read state. Idempotent."""
    connection.execute(sa.delete(cursors).where(cursors.c.account_id == account))


def with_cursors(connection: sa.Connection, accounts: list[AccountId]) -> list[AccountId]:
    """Those of the accounts that have read state."""
    found = sa.select(cursors.c.account_id).where(cursors.c.account_id.in_(accounts)).distinct()
    return [AccountId(number) for number in connection.scalars(found)]


def _encode(cursor: Cursor) -> tuple[int, str, int]:
    return _parameters(cursor.delivered_index, _json(cursor.above).decode(), cursor.marked)


def _parameters(index: int, above: str, upto: int | None) -> tuple[int, str, int]:
    return index, above, _NULL if upto is None else upto
