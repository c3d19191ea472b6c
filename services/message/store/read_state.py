"""Stores each account's read state: merges ranges into the cursors, in any order."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from services.message.domain import IndexRange, ReadState, merge_read
from services.message.store.set_statements import SetStatement
from services.message.store.snapshot import Snapshot, decode_cursors
from services.message.tables import cursors
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ReadRange

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
        SELECT json_group_array(json_array(account_id, chat_id, read_index, above))
        FROM json_each(:rows) AS key CROSS JOIN cursors
        ON account_id = key.value ->> 0 AND chat_id = key.value ->> 1""",
    postgresql="""
        SELECT locked.* FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])) AS key (account_id, chat_id)
        CROSS JOIN LATERAL (
            SELECT account_id, chat_id, read_index, above FROM cursors
            WHERE account_id = key.account_id AND chat_id = key.chat_id FOR UPDATE) AS locked""",
    packed=True,
)
_UPDATE_CURSORS = SetStatement(
    sqlite="""
        UPDATE cursors SET read_index = moved.value ->> 2, above = moved.value ->> 3
        FROM json_each(:rows) AS moved WHERE account_id = moved.value ->> 0 AND chat_id = moved.value ->> 1""",
    postgresql="""
        UPDATE cursors SET read_index = moved.read_index, above = moved.above
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS text[]))
        AS moved (account_id, chat_id, read_index, above)
        WHERE cursors.account_id = moved.account_id AND cursors.chat_id = moved.chat_id""",
)

_json = msgspec.json.Encoder().encode


def mark_read(connection: sa.Connection, ranges: Iterable[ReadRange], limit: int) -> None:
    """Merge the ranges into the read state, `limit` as in `merge_read`. Indexes never posted are ignored."""
    heads = Snapshot(connection).heads(one.chat for one in ranges)
    merged: dict[tuple[AccountId, ChatId], list[IndexRange]] = defaultdict(list)
    for account, chat, low, high in map(_range_fields, ranges):
        if max(low, 1) <= min(high, heads.get(chat, 0)):
            merged[account, chat].append((max(low, 1), min(high, heads[chat])))
    if not merged:
        return
    keys = sorted(merged)
    _CREATE_CURSORS.run(connection, keys)
    before = decode_cursors(_LOCK_CURSORS.fetch(connection, keys))
    after = {key: merge_read(before[key], merged[key], limit) for key in keys}
    changed = [(*key, state.read_index, _encode_ranges(state)) for key, state in after.items() if state != before[key]]
    if changed:
        _UPDATE_CURSORS.run(connection, changed)


def erase(connection: sa.Connection, account: AccountId) -> None:
    """Delete an account's read state. Idempotent."""
    connection.execute(sa.delete(cursors).where(cursors.c.account_id == account))


def with_cursors(connection: sa.Connection, accounts: list[AccountId]) -> list[AccountId]:
    """Those of the accounts that have read state."""
    found = sa.select(cursors.c.account_id).where(cursors.c.account_id.in_(accounts)).distinct()
    return [AccountId(number) for number in connection.scalars(found)]


def _range_fields(one: ReadRange) -> tuple[AccountId, ChatId, int, int]:
    return one.account, one.chat, one.low, one.high


def _encode_ranges(state: ReadState) -> str:
    return _json(state.above).decode()
