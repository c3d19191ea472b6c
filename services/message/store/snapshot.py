"""Reads heads, messages and read state, all from one snapshot."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
import sqlalchemy as sa

from services.message.domain import IndexRange, ReadState, chunks
from services.message.store.set_statements import SetStatement, single_column
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Message

_CHUNK_ROWS = 512

_HEADS = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(chat_id, last_index)) FROM heads
        WHERE chat_id IN (SELECT value ->> 0 FROM json_each(:rows))""",
    postgresql="SELECT chat_id, last_index FROM heads WHERE chat_id = ANY(CAST(:a AS bigint[]))",
    packed=True,
)
# The shape of the queries makes the planner read range by range through the index (chat_id, index), whatever its
# statistics are.
_MESSAGES = SetStatement(
    sqlite="""
        SELECT chat_id, "index", messages.id, sender, time, body, nonce
        FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :except_sender ORDER BY chat_id, "index" """,
    postgresql="""
        SELECT found.* FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]))
        AS span (chat_id, low, high)
        CROSS JOIN LATERAL (
            SELECT chat_id, index, id, sender, time, body, nonce FROM messages
            WHERE chat_id = span.chat_id AND index BETWEEN span.low AND span.high OFFSET 0) AS found
        WHERE sender <> :except_sender ORDER BY chat_id, index""",
)
_COUNT = SetStatement(
    sqlite="""
        SELECT count(*) FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :except_sender""",
    postgresql="""
        SELECT coalesce(sum(found.messages), 0)::bigint
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        CROSS JOIN LATERAL (
            SELECT count(*) AS messages FROM messages
            WHERE chat_id = span.chat_id AND index BETWEEN span.low AND span.high
            AND sender <> :except_sender) AS found""",
)
_OLDEST = SetStatement(
    sqlite="""
        SELECT chat_id, "index", length(body) FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :except_sender ORDER BY time, messages.id LIMIT :limit""",
    postgresql="""
        SELECT found.chat_id, found.index, found.size
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        CROSS JOIN LATERAL (
            SELECT chat_id, index, octet_length(body) AS size, time, id FROM messages
            WHERE chat_id = span.chat_id AND index BETWEEN span.low AND span.high AND sender <> :except_sender
            ORDER BY index LIMIT :limit) AS found
        ORDER BY found.time, found.id LIMIT :limit""",
)
_CURSORS = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(account_id, chat_id, read_index, above))
        FROM json_each(:rows) AS key CROSS JOIN cursors
        ON account_id = key.value ->> 0 AND chat_id = key.value ->> 1""",
    postgresql="""
        SELECT found.* FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])) AS key (account_id, chat_id)
        CROSS JOIN LATERAL (
            SELECT account_id, chat_id, read_index, above FROM cursors
            WHERE account_id = key.account_id AND chat_id = key.chat_id LIMIT 1) AS found""",
    packed=True,
)

_decode_ranges = msgspec.json.Decoder(tuple[IndexRange, ...]).decode


class Snapshot:
    """One snapshot of the database. Methods leave out messages of `except_sender`; ranges are (chat, low, high)."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def heads(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """The last index of each chat that has one."""
        rows = single_column(set(chats))
        return {ChatId(row[0]): row[1] for row in _HEADS.fetch(self._connection, rows)} if rows else {}

    def cursors(self, keys: Collection[tuple[AccountId, ChatId]]) -> dict[tuple[AccountId, ChatId], ReadState]:
        """The read state of each account and chat that has one."""
        rows = list(keys)
        return decode_cursors(_CURSORS.fetch(self._connection, rows)) if rows else {}

    def messages(
        self, ranges: Iterable[tuple[ChatId, int, int]], except_sender: AccountId = NO_ACCOUNT
    ) -> Iterator[Message]:
        """The messages of these ascending ranges, read in chunks as the iterator advances."""
        for chunk in chunks(ranges, _CHUNK_ROWS):
            for row in _MESSAGES.fetch(self._connection, chunk, except_sender=except_sender):
                yield Message(*row)

    def count(self, ranges: Sequence[tuple[ChatId, int, int]], except_sender: AccountId) -> int:
        """The number of messages in these ranges."""
        if not ranges:
            return 0
        ((messages,),) = _COUNT.fetch(self._connection, ranges, except_sender=except_sender)
        return int(messages)

    def oldest(
        self, ranges: Sequence[tuple[ChatId, int, int]], except_sender: AccountId, limit: int
    ) -> list[tuple[ChatId, int, int]]:
        """Chat, index and size (bytes of the body) of the oldest `limit` messages in these ranges, in order of time."""
        rows = _OLDEST.fetch(self._connection, ranges, except_sender=except_sender, limit=limit) if ranges else ()
        return [(ChatId(chat), index, size) for chat, index, size in rows]


def decode_cursors(rows: Iterable[tuple[int, int, int, str]]) -> dict[tuple[AccountId, ChatId], ReadState]:
    return {
        (AccountId(account), ChatId(chat)): ReadState(read_index, _decode_ranges(above))
        for account, chat, read_index, above in rows
    }
