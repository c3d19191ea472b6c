"""What is there: heads, messages and read state, all from one snapshot."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
import sqlalchemy as sa

from services.message.domain import ReadState, Span, portions
from services.message.store.set_statements import SetStatement, singles
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Message

_PORTION_ROWS = 512

_HEADS = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(chat_id, last_index)) FROM heads
        WHERE chat_id IN (SELECT value ->> 0 FROM json_each(:rows))""",
    postgresql="SELECT chat_id, last_index FROM heads WHERE chat_id = ANY(CAST(:a AS bigint[]))",
    packed=True,
)
# Span by span through the index of the chat's order, whatever the planner believes of the table.
_MESSAGES = SetStatement(
    sqlite="""
        SELECT chat_id, "index", messages.id, sender, time, body, nonce
        FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :but_of ORDER BY chat_id, "index" """,
    postgresql="""
        SELECT found.* FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]))
        AS span (chat_id, low, high)
        CROSS JOIN LATERAL (
            SELECT chat_id, index, id, sender, time, body, nonce FROM messages
            WHERE chat_id = span.chat_id AND index BETWEEN span.low AND span.high OFFSET 0) AS found
        WHERE sender <> :but_of ORDER BY chat_id, index""",
)
_COUNT = SetStatement(
    sqlite="""
        SELECT count(*) FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :but_of""",
    postgresql="""
        SELECT coalesce(sum(found.several), 0)::bigint
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        CROSS JOIN LATERAL (
            SELECT count(*) AS several FROM messages
            WHERE chat_id = span.chat_id AND index BETWEEN span.low AND span.high AND sender <> :but_of) AS found""",
)
_OLDEST = SetStatement(
    sqlite="""
        SELECT chat_id, "index", length(body) FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :but_of ORDER BY time, messages.id LIMIT :most""",
    postgresql="""
        SELECT found.chat_id, found.index, found.size
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        CROSS JOIN LATERAL (
            SELECT chat_id, index, octet_length(body) AS size, time, id FROM messages
            WHERE chat_id = span.chat_id AND index BETWEEN span.low AND span.high AND sender <> :but_of
            ORDER BY index LIMIT :most) AS found
        ORDER BY found.time, found.id LIMIT :most""",
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

_spans = msgspec.json.Decoder(tuple[Span, ...]).decode


class Snapshot:
    """One moment of the database."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def heads(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """The last index of each chat that has one."""
        rows = singles(set(chats))
        return {ChatId(row[0]): row[1] for row in _HEADS.fetch(self._connection, rows)} if rows else {}

    def cursors(self, keys: Collection[tuple[AccountId, ChatId]]) -> dict[tuple[AccountId, ChatId], ReadState]:
        """The read state of each account and chat that has one."""
        rows = list(keys)
        return states(_CURSORS.fetch(self._connection, rows)) if rows else {}

    def messages(self, spans: Iterable[tuple[ChatId, int, int]], but_of: AccountId = NO_ACCOUNT) -> Iterator[Message]:
        """Messages of these spans (chat, low, high; ascending), save this account's own; read as they are taken."""
        for portion in portions(spans, _PORTION_ROWS):
            for row in _MESSAGES.fetch(self._connection, portion, but_of=but_of):
                yield Message(*row)

    def count(self, spans: Sequence[tuple[ChatId, int, int]], but_of: AccountId) -> int:
        """How many messages there are in these spans, save this account's own."""
        if not spans:
            return 0
        ((several,),) = _COUNT.fetch(self._connection, spans, but_of=but_of)
        return int(several)

    def oldest(
        self, spans: Sequence[tuple[ChatId, int, int]], but_of: AccountId, most: int
    ) -> list[tuple[ChatId, int, int]]:
        """Chat, index and size (bytes of the body) of so many messages of these spans, save this account's own, in the
        order of their time."""
        rows = _OLDEST.fetch(self._connection, spans, but_of=but_of, most=most) if spans else ()
        return [(ChatId(chat), index, size) for chat, index, size in rows]


def states(rows: Iterable[tuple[int, int, int, str]]) -> dict[tuple[AccountId, ChatId], ReadState]:
    return {
        (AccountId(account), ChatId(chat)): ReadState(read_index, _spans(above))
        for account, chat, read_index, above in rows
    }
