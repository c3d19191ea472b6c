"""Finds last indexes, messages, changes of messages and read state, all from one snapshot."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from services.message.domain import MAX_EMOJI, Cursor, IndexRange, chunks
from services.message.store.drafts import previews
from services.message.store.set_statements import SetStatement, StatementRows, single_column
from shared.contract.body import mention_mark
from shared.contract.drafts import DraftPreview
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce
from shared.contract.message import ChangeKind, MessageChange, Reactions
from shared.contract.model import Message

_CHUNK_ROWS = 512

_HEADS = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(chat_id, last_index)) FROM heads
        WHERE chat_id IN (SELECT value ->> 0 FROM json_each(:rows))""",
    postgresql="SELECT chat_id, last_index FROM heads WHERE chat_id = ANY(CAST(:a AS bigint[]))",
    packed=True,
)
# With queries of this form, the planner always uses the index (chat_id, index) to read a range, even if its statistics
# are outdated.
_MESSAGES = SetStatement(
    sqlite="""
        SELECT chat_id, "index", messages.id, sender, time, body, nonce
        FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :except_sender ORDER BY chat_id, "index" """,
    postgresql="""
        SELECT messages.chat_id, index, id, sender, time, body, nonce
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        JOIN messages ON messages.chat_id = span.chat_id AND index BETWEEN span.low AND span.high
            /* citus: AND messages.chat_id = ANY(CAST(:a AS bigint[])) */
        WHERE sender <> :except_sender ORDER BY messages.chat_id, index""",
)
_COUNT = SetStatement(
    sqlite="""
        SELECT count(*) FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :except_sender""",
    postgresql="""
        SELECT count(*)
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        JOIN messages ON messages.chat_id = span.chat_id AND index BETWEEN span.low AND span.high
            /* citus: AND messages.chat_id = ANY(CAST(:a AS bigint[])) */
        WHERE sender <> :except_sender""",
)
_UNREAD = SetStatement(
    sqlite="""
        SELECT chat_id, count(*), sum(instr(body, :mark) > 0) FROM json_each(:rows) AS span CROSS JOIN messages
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        WHERE sender <> :except_sender GROUP BY chat_id""",
    postgresql="""
        SELECT messages.chat_id, count(*), count(*) FILTER (WHERE position(CAST(:mark AS bytea) IN body) > 0)
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        JOIN messages ON messages.chat_id = span.chat_id AND index BETWEEN span.low AND span.high
            /* citus: AND messages.chat_id = ANY(CAST(:a AS bigint[])) */
        WHERE sender <> :except_sender GROUP BY messages.chat_id""",
)
# PostgreSQL reads no more rows of each range than the limit. Citus cannot execute this query on its workers, so it gets
# another one.
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
    citus="""
        SELECT messages.chat_id, index, octet_length(body) FROM (VALUES {rows}) AS span (chat_id, low, high)
        JOIN messages ON messages.chat_id = span.chat_id AND index BETWEEN span.low AND span.high
        WHERE sender <> {except_sender} ORDER BY time, id LIMIT {limit}""",
)
_CURSORS = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(account_id, chat_id, read_index, above, read_upto, unread_from))
        FROM json_each(:rows) AS key CROSS JOIN cursors
        ON account_id = key.value ->> 0 AND chat_id = key.value ->> 1""",
    postgresql="""
        SELECT account_id, chat_id, read_index, above, read_upto, unread_from
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])) AS key (account_id, chat_id)
        JOIN cursors USING (account_id, chat_id)
        /* citus: WHERE chat_id = ANY(CAST(:b AS bigint[])) */""",
    packed=True,
)

_OWN = sa.text("""
    SELECT chat_id, "index", id, sender, time, body, nonce FROM messages
    WHERE chat_id = :chat AND "index" BETWEEN :low AND :high AND sender = :sender ORDER BY "index" """)
_TIME = sa.text('SELECT time FROM messages WHERE chat_id = :chat AND "index" = :index')
_PLACE_BY_ID = sa.text('SELECT chat_id, "index" FROM messages WHERE id = :id')
_PLACE_BY_NONCE = sa.text('SELECT chat_id, "index" FROM messages WHERE nonce = :nonce')

CursorFields = tuple[int, int, int, str, int | None, int | None]
"""The account, the chat, the delivered index, the ranges above it as JSON, the index up to which all messages are read,
and the index from which all are marked as unread."""

_decode_ranges = msgspec.json.Decoder(tuple[IndexRange, ...]).decode


_ACTIVITY = SetStatement(
    sqlite="""
        SELECT json_group_array(json_array(chat_id, last_index, last_time, rev)) FROM heads
        WHERE chat_id IN (SELECT value FROM json_each(:rows))""",
    postgresql="SELECT chat_id, last_index, last_time, rev FROM heads WHERE chat_id = ANY(CAST(:a AS bigint[]))",
    packed=True,
)
_REVISIONS = sa.text("""
    SELECT rev, "index", kind, actor, time FROM revisions
    WHERE chat_id = :chat AND rev > :after AND "index" BETWEEN :low AND :high ORDER BY rev LIMIT :limit""")
_REVISIONS_AMONG = SetStatement(
    sqlite="""
        SELECT chat_id, rev, "index", kind, actor, time FROM (
            SELECT chat_id, rev, "index", kind, actor, time,
                row_number() OVER (PARTITION BY chat_id ORDER BY rev) AS place
            FROM json_each(:rows) AS span CROSS JOIN revisions
            ON chat_id = span.value ->> 0 AND rev > span.value ->> 1 AND rev <= span.value ->> 2
                AND "index" BETWEEN span.value ->> 3 AND span.value ->> 4)
        WHERE place <= :limit ORDER BY chat_id, rev""",
    postgresql="""
        SELECT chat_id, rev, index, kind, actor, time FROM (
            SELECT revisions.chat_id, rev, index, kind, actor, time,
                row_number() OVER (PARTITION BY revisions.chat_id ORDER BY rev) AS place
            FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS bigint[]),
                CAST(:e AS bigint[])) AS span (chat_id, after, upto, low, high)
            JOIN revisions ON revisions.chat_id = span.chat_id AND rev > span.after AND rev <= span.upto
                AND index BETWEEN span.low AND span.high
                /* citus: AND revisions.chat_id = ANY(CAST(:a AS bigint[])) */) AS found
        WHERE place <= :limit ORDER BY chat_id, rev""",
)
_REACTIONS = SetStatement(
    sqlite="""
        SELECT chat_id, "index", emoji, count(*), max(account_id = :account)
        FROM json_each(:rows) AS span CROSS JOIN reactions
        ON chat_id = span.value ->> 0 AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2
        GROUP BY chat_id, "index", emoji ORDER BY chat_id, "index", emoji""",
    postgresql="""
        SELECT reactions.chat_id, index, emoji, count(*), bool_or(account_id = :account)
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat_id, low, high)
        JOIN reactions ON reactions.chat_id = span.chat_id AND index BETWEEN span.low AND span.high
            /* citus: AND reactions.chat_id = ANY(CAST(:a AS bigint[])) */
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
)
_REACTORS = """
    SELECT account_id, emoji FROM reactions
    WHERE chat_id = :chat AND "index" = :index AND account_id > :after {also} ORDER BY account_id, emoji LIMIT :limit"""
_ALL_REACTORS, _REACTORS_WITH = (sa.text(_REACTORS.format(also=also)) for also in ("", "AND emoji = :emoji"))
_PINS = SetStatement(
    sqlite="""
        SELECT chat_id, "index" FROM json_each(:rows) AS one CROSS JOIN revisions
        ON chat_id = one.value ->> 0 AND slot = :slot AND kind = :pinned ORDER BY rev""",
    postgresql="""
        SELECT chat_id, index FROM revisions
        WHERE chat_id = ANY(CAST(:a AS bigint[])) AND slot = :slot AND kind = :pinned ORDER BY rev""",
)
_EPOCH = sa.text("SELECT value FROM epochs WHERE id = 1")


class Slot(IntEnum):
    """The part of a message that a change concerns; see the table `revisions`."""

    TEXT = 1
    REACTIONS = 2
    PIN = 3


PINNED, UNPINNED = ChangeKind.PIN.value, "unpin"


class Activity(NamedTuple):
    """The index and time of a chat's last message, and the number of its last change."""

    last_index: int = 0
    last_time: int = 0
    rev: int = 0


class Snapshot:
    """Reads from one consistent snapshot of the database. Methods with a parameter `except_sender` leave out the
    messages of this sender. Ranges are (chat, low, high)."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def heads(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """The last index of each chat that has one."""
        rows = single_column(set(chats))
        return {ChatId(row[0]): row[1] for row in _HEADS.fetch(self._connection, rows)} if rows else {}

    def activity(self, chats: Iterable[ChatId]) -> dict[ChatId, Activity]:
        """The activity of each chat that has a message."""
        rows = list(set(chats))
        return {ChatId(chat): Activity(last, time, rev) for chat, last, time, rev in self._fetch(_ACTIVITY, rows)}

    def changes(
        self, chat: ChatId, after: int, indexes: IndexRange, account: AccountId, limit: int
    ) -> list[MessageChange]:
        """The changes of these messages after `after`, in the order of `rev`. The reactions of `account` are marked."""
        low, high = indexes
        place = {"chat": chat, "after": after, "low": low, "high": high, "limit": limit}
        rows = [_StoredRevision(chat, *row) for row in self._connection.execute(_REVISIONS, place)]
        return self._changes(rows, account)

    def changes_among(
        self, spans: Sequence["ChangeSpan"], account: AccountId, limit: int
    ) -> dict[ChatId, list[MessageChange]]:
        """The first changes of each of these chats, at most `limit` for each."""
        rows = [_StoredRevision(*row) for row in self._fetch(_REVISIONS_AMONG, spans, limit=limit)]
        found: dict[ChatId, list[MessageChange]] = {}
        for change in self._changes(rows, account):
            found.setdefault(change.chat, []).append(change)
        return found

    def _changes(self, rows: Sequence["_StoredRevision"], account: AccountId) -> list[MessageChange]:
        edited, reacted = (
            sorted({(row.chat, row.place, row.place) for row in rows if row.kind == kind})
            for kind in (ChangeKind.EDIT.value, ChangeKind.REACTION.value)
        )
        bodies = {(message.chat, message.index): message.body for message in self.messages(edited)}
        reactions = self.reactions(reacted, account)
        return [_change(row, bodies, reactions) for row in rows]

    def reactions(
        self, ranges: Sequence[tuple[ChatId, int, int]], account: AccountId
    ) -> dict[tuple[ChatId, int], Reactions]:
        """The reactions to the messages of these ranges, by chat and index. Messages without reactions are left out."""
        found: dict[tuple[ChatId, int], Reactions] = {}
        for chat, index, emoji, count, mine in self._fetch(_REACTIONS, ranges, account=account):
            one = found.setdefault((ChatId(chat), index), Reactions({}, []))
            one.counts[emoji] = count
            if mine:
                one.mine.append(emoji)
        return found

    def reactors(
        self, place: tuple[ChatId, int], emoji: str, after: AccountId, accounts: int
    ) -> list[tuple[AccountId, list[str]]]:
        """The first `accounts` accounts after `after` that have reacted to the message, in ascending order, with their
        emoji. If `emoji` is not empty, only accounts that used this emoji are returned."""
        chat, index = place
        statement, each = (_REACTORS_WITH, 1) if emoji else (_ALL_REACTORS, MAX_EMOJI)
        given = {"chat": chat, "index": index, "after": after, "limit": accounts * each}
        found: dict[AccountId, list[str]] = {}
        for account, one in self._connection.execute(statement, given | ({"emoji": emoji} if emoji else {})):
            found.setdefault(AccountId(account), []).append(one)
        return [(account, sorted(emojis)) for account, emojis in list(found.items())[:accounts]]

    def pins(self, chats: Iterable[ChatId]) -> dict[ChatId, list[int]]:
        """The indexes of the pinned messages of each chat, in the order of pinning. Chats without pinned messages are
        left out."""
        found: dict[ChatId, list[int]] = {}
        for chat, index in self._fetch(_PINS, single_column(set(chats)), slot=Slot.PIN, pinned=PINNED):
            found.setdefault(ChatId(chat), []).append(index)
        return found

    def _fetch(self, statement: SetStatement, rows: StatementRows, **others: object) -> Sequence[Any]:
        return statement.fetch(self._connection, rows, **others) if rows else ()

    def epoch(self) -> str:
        """The epoch changes when the database is restored from a backup. It is empty if the database has no epoch."""
        return self._connection.execute(_EPOCH).scalar_one_or_none() or ""

    def cursors(self, keys: Collection[tuple[AccountId, ChatId]]) -> dict[tuple[AccountId, ChatId], Cursor]:
        """The read state of each account and chat that has one."""
        return decode_cursors(fetch_cursors(self._connection, keys))

    def messages(
        self, ranges: Iterable[tuple[ChatId, int, int]], except_sender: AccountId = NO_ACCOUNT
    ) -> Iterator[Message]:
        """The messages of these ascending ranges, read in chunks as the iterator advances."""
        for chunk in chunks(ranges, _CHUNK_ROWS):
            for row in _MESSAGES.fetch(self._connection, chunk, except_sender=except_sender):
                yield Message(*row)

    def drafts(self, account: AccountId) -> dict[ChatId, DraftPreview]:
        """The drafts of the account, by chat."""
        return previews(self._connection, account)

    def sent_by(self, sender: AccountId, span: tuple[ChatId, int, int]) -> Iterator[Message]:
        """The sender's messages of this range."""
        chat, low, high = span
        for row in self._connection.execute(_OWN, {"chat": chat, "low": low, "high": high, "sender": sender}):
            yield Message(*row)

    def index_at(self, chat: ChatId, time: int, last: int) -> int:
        """The index of the first message that is not older than `time`, or `last` if there is none. Times rise within a
        chat."""
        low, high = 1, last
        while low < high:
            middle = (low + high) // 2
            found = self._connection.execute(_TIME, {"chat": chat, "index": middle}).scalar_one()
            low, high = (middle + 1, high) if found < time else (low, middle)
        return low

    def place(self, message: MessageId, nonce: Nonce) -> tuple[ChatId, int] | None:
        """The chat and index of the message with this id or, without an id, of the message with this nonce."""
        found = (
            self._connection.execute(_PLACE_BY_ID, {"id": message})
            if message
            else self._connection.execute(_PLACE_BY_NONCE, {"nonce": nonce})
        ).first()
        return None if found is None else (ChatId(found[0]), found[1])

    def count(self, ranges: Sequence[tuple[ChatId, int, int]], except_sender: AccountId) -> int:
        """The number of messages in these ranges, without those of `except_sender`."""
        if not ranges:
            return 0
        ((messages,),) = _COUNT.fetch(self._connection, ranges, except_sender=except_sender)
        return int(messages)

    def unread(self, ranges: Sequence[tuple[ChatId, int, int]], account: AccountId) -> dict[ChatId, tuple[int, int]]:
        """For each chat in these ranges, the number of unread messages of other users, and how many of these mention
        the account."""
        rows = self._fetch(_UNREAD, ranges, except_sender=account, mark=mention_mark(account))
        return {ChatId(chat): (messages, mentions) for chat, messages, mentions in rows if messages}

    def oldest(
        self, ranges: Sequence[tuple[ChatId, int, int]], except_sender: AccountId, limit: int
    ) -> list[tuple[ChatId, int, int]]:
        """The chat, index and size (bytes of the body) of the oldest `limit` messages in these ranges, in order of
        time."""
        rows = _OLDEST.fetch(self._connection, ranges, except_sender=except_sender, limit=limit) if ranges else ()
        return [(ChatId(chat), index, size) for chat, index, size in rows]


def fetch_cursors(connection: sa.Connection, keys: Iterable[tuple[int, int]]) -> Sequence[CursorFields]:
    """The rows of `cursors` with these accounts and chats."""
    rows = list(keys)
    return _CURSORS.fetch(connection, rows) if rows else ()


def decode_cursors(rows: Iterable[CursorFields]) -> dict[tuple[AccountId, ChatId], Cursor]:
    return {
        (AccountId(account), ChatId(chat)): Cursor(delivered_index, _decode_ranges(above), read or 0, unread_from)
        for account, chat, delivered_index, above, read, unread_from in rows
    }


class ChangeSpan(NamedTuple):
    """Selects changes of a chat: the changes after the number `after` up to the number `upto`, of messages from index
    `low` to `high`."""

    chat: ChatId
    after: int
    upto: int
    low: int
    high: int


class _StoredRevision(NamedTuple):
    """`place` is the message's index."""

    chat: ChatId
    rev: int
    place: int
    kind: str
    actor: int
    time: int


def _change(
    row: _StoredRevision, bodies: Mapping[tuple[ChatId, int], bytes], reactions: Mapping[tuple[ChatId, int], Reactions]
) -> MessageChange:
    """Makes a change for clients from a stored row. `bodies`: the bodies of edited messages. `reactions`: the reactions
    to messages."""
    on = row.kind != UNPINNED
    kind = ChangeKind(row.kind if on else PINNED)
    change = MessageChange(row.chat, row.rev, row.place, kind, AccountId(row.actor), row.time, on=on)
    if kind is ChangeKind.EDIT:
        return msgspec.structs.replace(change, body=bodies[row.chat, row.place])
    if kind is ChangeKind.REACTION:
        shown = reactions.get((row.chat, row.place), Reactions({}, []))
        return msgspec.structs.replace(change, reactions=shown.counts, mine=shown.mine)
    return change
