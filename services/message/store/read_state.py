"""Who has read how far: ranges are merged into the cursors, whatever order they come in."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from services.message.domain import ReadState, Span, read_on
from services.message.store.set_statements import SetStatement
from services.message.store.snapshot import Snapshot, states
from services.message.tables import cursors
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ReadRange

# First made, then locked, always in the same order: so no range is lost, and nobody waits in a circle.
_MAKE_CURSORS = SetStatement(
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
_MOVE_CURSORS = SetStatement(
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


def mark_read(connection: sa.Connection, ranges: Iterable[ReadRange], most: int) -> None:
    """Merge the ranges into the read state, `most` as in `read_on`. What was never posted cannot have been read."""
    heads = Snapshot(connection).heads(span.chat for span in ranges)
    spans: dict[tuple[AccountId, ChatId], list[Span]] = defaultdict(list)
    for account, chat, low, high in map(_fields, ranges):
        if max(low, 1) <= min(high, heads.get(chat, 0)):
            spans[account, chat].append((max(low, 1), min(high, heads[chat])))
    if not spans:
        return
    keys = sorted(spans)
    _MAKE_CURSORS.run(connection, keys)
    before = states(_LOCK_CURSORS.fetch(connection, keys))
    after = {key: read_on(before[key], spans[key], most) for key in keys}
    moved = [(*key, state.read_index, _text(state)) for key, state in after.items() if state != before[key]]
    if moved:
        _MOVE_CURSORS.run(connection, moved)


def erase(connection: sa.Connection, account: AccountId) -> None:
    """Forget how far an account has read. Idempotent."""
    connection.execute(sa.delete(cursors).where(cursors.c.account_id == account))


def _fields(span: ReadRange) -> tuple[AccountId, ChatId, int, int]:
    return span.account, span.chat, span.low, span.high


def _text(state: ReadState) -> str:
    return _json(state.above).decode()
