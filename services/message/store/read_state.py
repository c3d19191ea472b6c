"""Stores what is delivered to each account, and what it has read: merges both into its cursors, in any order."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from services.message.domain import Cursor, IndexRange, merge_delivered, read_up_to
from services.message.store.set_statements import SetStatement
from services.message.store.snapshot import Snapshot, decode_cursors
from services.message.tables import cursors
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import UNSPECIFIED, ReadRange

# Cursors are created, then locked, always in the same order: no range is lost, and deadlocks are excluded.
_CREATE_CURSORS = SetStatement(
    sqlite="""
        INSERT INTO cursors (account_id, chat_id, read_index, above)
        SELECT value ->> 0, value ->> 1, 0, '[]' FROM json_each(:rows) WHERE true ON CONFLICT DO NOTHING""",
    postgresql="""
        INSERT INTO cursors (account_id, chat_id, read_index, above)
        SELECT account_id, chat_id, 0, '[]'
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])) AS made (account_id, chat_id)
        ORDER BY account_id, chat_id ON CONFLICT DO NOTHING""",
)
_LOCK_CURSORS = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(account_id, chat_id, read_index, above, read_upto))
        FROM json_each(:rows) AS key CROSS JOIN cursors
        ON account_id = key.value ->> 0 AND chat_id = key.value ->> 1""",
    postgresql="""
        SELECT locked.* FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])) AS key (account_id, chat_id)
        CROSS JOIN LATERAL (
            SELECT account_id, chat_id, read_index, above, read_upto FROM cursors
            WHERE account_id = key.account_id AND chat_id = key.chat_id FOR UPDATE) AS locked""",
    packed=True,
)
_NULL = -1
_UPDATE_CURSORS = SetStatement(
    sqlite="""
        UPDATE cursors SET read_index = moved.value ->> 2, above = moved.value ->> 3,
            read_upto = nullif(moved.value ->> 4, -1)
        FROM json_each(:rows) AS moved WHERE account_id = moved.value ->> 0 AND chat_id = moved.value ->> 1""",
    postgresql="""
        UPDATE cursors SET read_index = moved.read_index, above = moved.above, read_upto = nullif(moved.read_upto, -1)
        FROM unnest(
            CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS text[]), CAST(:e AS bigint[]))
        AS moved (account_id, chat_id, read_index, above, read_upto)
        WHERE cursors.account_id = moved.account_id AND cursors.chat_id = moved.chat_id""",
)

_json = msgspec.json.Encoder().encode
_Key = tuple[AccountId, ChatId]


def mark_read(connection: sa.Connection, ranges: Iterable[ReadRange], limit: int) -> None:
    """Merge into the cursors what is delivered and what is read; `limit` as in `merge_delivered`. Indexes never posted
    are ignored.

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
    _CREATE_CURSORS.run(connection, keys)
    before = decode_cursors(_LOCK_CURSORS.fetch(connection, keys))
    changed = []
    for key, stored in before.items():
        cursor = stored
        if key in distinguished or stored.marked is not None:
            cursor = read_up_to(cursor, read.get(key, 0))
        cursor = merge_delivered(cursor, delivered[key], limit)
        if cursor != stored:
            changed.append((*key, cursor.delivered_index, _encode_ranges(cursor), _stored(cursor.marked)))
    if changed:
        _UPDATE_CURSORS.run(connection, changed)


def erase(connection: sa.Connection, account: AccountId) -> None:
    """Delete an account's read state. Idempotent."""
    connection.execute(sa.delete(cursors).where(cursors.c.account_id == account))


def with_cursors(connection: sa.Connection, accounts: list[AccountId]) -> list[AccountId]:
    """Those of the accounts that have read state."""
    found = sa.select(cursors.c.account_id).where(cursors.c.account_id.in_(accounts)).distinct()
    return [AccountId(number) for number in connection.scalars(found)]


def _encode_ranges(cursor: Cursor) -> str:
    return _json(cursor.above).decode()


def _stored(marked: int | None) -> int:
    return _NULL if marked is None else marked
