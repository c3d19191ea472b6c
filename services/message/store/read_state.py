"""Stores which messages are delivered to each account and which the account has read. Deliveries and reads merge into
the account's read state, in any order."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from services.message.domain import Cursor, IndexRange, merge_delivered, message_size, read_up_to, reader
from services.message.store.devices import delete_cursors, present, remove_all
from services.message.store.set_statements import SetStatement
from services.message.store.snapshot import Activity, Slot, Snapshot, decode_cursors, fetch_cursors
from services.message.tables import cursors, devices, drafts
from shared.contract.following import ChatNews, HeadPosition, News, PositionPage
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import DevicePosition, ReadRange
from shared.contract.model import Message
from shared.sql import insert

# The functions below find the data that the search service indexes: the positions of all chats, and the messages after
# given positions.

_PAGE = 5_000
_CHANGES = 100
"""The highest number of changes of one chat in one reply."""

_POSITIONS = sa.text("SELECT chat_id, last_index, rev FROM heads WHERE chat_id > :after ORDER BY chat_id LIMIT :limit")
_RECENT = sa.text("SELECT chat_id FROM heads WHERE last_time >= :since")
_CHANGED = sa.text("""
    SELECT "index", rev FROM revisions
    WHERE chat_id = :chat AND rev > :after AND slot = :slot AND "index" <= :last ORDER BY rev LIMIT :limit""")


def list_positions(connection: sa.Connection, after: ChatId) -> PositionPage:
    """A page of the chats after `after`."""
    rows = connection.execute(_POSITIONS, {"after": after, "limit": _PAGE})
    positions = [HeadPosition(ChatId(chat), index, rev) for chat, index, rev in rows]
    return PositionPage(positions, Snapshot(connection).epoch(), more=len(positions) == _PAGE)


def list_recent(connection: sa.Connection, since: int) -> list[ChatId]:
    """The chats whose last message is not older than `since` (Unix ms)."""
    return [ChatId(chat) for chat in connection.scalars(_RECENT, {"since": since})]


class _Behind(NamedTuple):
    """A chat with news. `upto`: the last index of its new messages in this reply."""

    known: HeadPosition
    head: Activity
    upto: int


def read_news(connection: sa.Connection, positions: Sequence[HeadPosition], limit: int, budget: int) -> News:
    """Read the next messages after these positions: as many as fit into `budget` bytes, at least one and at most
    `limit`."""
    snapshot = Snapshot(connection)
    heads = snapshot.activity(one.chat for one in positions)
    behind, left = list[_Behind](), limit
    for known in sorted(positions, key=lambda one: one.chat):
        head = heads.get(known.chat, Activity())
        if left > 0 and (head.last_index > known.index or head.rev > known.rev):
            upto = max(known.index, min(head.last_index, known.index + left))
            behind.append(_Behind(known, head, upto))
            left -= 1 + upto - known.index
    page = _NewsPage(snapshot, budget)
    spans = [(one.known.chat, one.known.index + 1, one.upto) for one in behind if one.upto > one.known.index]
    messages = _Lookahead(snapshot.messages(spans))
    chats = [page.of(one, _changes(connection, one), messages) for one in behind if page.budget > 0]
    return News(chats, more=left <= 0 or page.budget <= 0)


def _changes(connection: sa.Connection, behind: _Behind) -> list[tuple[int, int]]:
    """The index and `rev` of the messages whose text has changed, among the messages that the search service has."""
    known = behind.known
    if behind.head.rev <= known.rev or not known.index:
        return []
    span = {"chat": known.chat, "after": known.rev, "last": known.index, "slot": Slot.TEXT, "limit": _CHANGES}
    return [(index, rev) for index, rev in connection.execute(_CHANGED, span)]


class _Lookahead:
    """Iterates over messages in ascending order. The caller can put the last returned message back."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = iter(messages)
        self.next = next(self._messages, None)

    def advance(self) -> None:
        self.next = next(self._messages, None)


class _NewsPage:
    """Collects the news that fits into `budget` bytes."""

    def __init__(self, snapshot: Snapshot, budget: int) -> None:
        self._snapshot = snapshot
        self.budget = budget

    def of(self, behind: _Behind, changes: Sequence[tuple[int, int]], messages: _Lookahead) -> ChatNews:
        known, head, _ = behind
        changed, rev = self._changed(known.chat, changes)
        if len(changed) == len(changes) < _CHANGES:
            rev = head.rev
        taken = list[Message]()
        while self.budget > 0 and (one := messages.next) is not None and one.chat == known.chat:
            self.budget -= message_size(one)
            taken.append(one)
            messages.advance()
        index = taken[-1].index if taken else known.index
        position = HeadPosition(known.chat, index, max(rev, known.rev))
        return ChatNews(position, taken, changed, more=index < head.last_index or position.rev < head.rev)

    def _changed(self, chat: ChatId, changes: Sequence[tuple[int, int]]) -> tuple[list[Message], int]:
        """Returns the changed messages that fit, and the `rev` of the last one."""
        found = {one.index: one for one in self._snapshot.messages(sorted((chat, at, at) for at, _ in changes))}
        taken, last = list[Message](), 0
        for index, rev in changes:
            if self.budget <= 0:
                break
            self.budget -= message_size(found[index])
            taken.append(found[index])
            last = rev
        return taken, last


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
# Citus cannot lock rows of several shards by SELECT. So a row is replaced only if nobody has changed it since it was
# read; otherwise ranges of another process would be lost. The input is ordered by key, and nested loops keep this
# order. So rows are locked in the order of their keys, and there are no deadlocks.
_REPLACE_CURSORS = SetStatement(
    sqlite="""
        UPDATE cursors SET read_index = moved.value ->> 2, above = moved.value ->> 3,
            read_upto = moved.value ->> 4,
            unread_from = CASE moved.value ->> 5 WHEN 1 THEN NULL ELSE unread_from END
        FROM json_each(:rows) AS moved WHERE account_id = moved.value ->> 0 AND chat_id = moved.value ->> 1
        RETURNING 1""",
    postgresql="""
        UPDATE cursors SET read_index = moved.read_index, above = moved.above, read_upto = moved.read_upto,
            unread_from = CASE moved.is_read WHEN 1 THEN NULL ELSE cursors.unread_from END
        FROM unnest(
            CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS text[]), CAST(:e AS bigint[]),
            CAST(:f AS bigint[]), CAST(:g AS bigint[]), CAST(:h AS text[]), CAST(:i AS bigint[]))
        AS moved (account_id, chat_id, read_index, above, read_upto, is_read, old_index, old_above, old_upto)
        WHERE cursors.account_id = moved.account_id AND cursors.chat_id = moved.chat_id
            AND cursors.read_index = old_index AND cursors.above = old_above
            AND coalesce(cursors.read_upto, 0) = old_upto
            /* citus: AND cursors.chat_id = ANY(CAST(:b AS bigint[])) */
        RETURNING 1""",
)

_json = msgspec.json.Encoder().encode
_Key = tuple[AccountId, ChatId]
_NEW = 0, "[]", 0
"""The columns with which a new row begins."""


class CursorsMoved(Exception):
    """Another process has changed one of the read states since this transaction read it. The transaction was rolled
    back."""


def mark_read(
    connection: sa.Connection, ranges: Iterable[ReadRange], limit: int, positions: Sequence[DevicePosition] = ()
) -> None:
    """Merge delivered and read ranges into the read states. When an account reads a chat, its mark as unread ends.
    `limit`: see `merge_delivered`. Indexes that were never posted are ignored, and so are removed devices. Raises
    CursorsMoved; the caller must then repeat the call in a new transaction, because another attempt in the same
    transaction could deadlock."""
    ranges = [*ranges, *_of_devices(connection, positions)]
    heads = Snapshot(connection).heads(one.chat for one in ranges)
    delivered: dict[_Key, list[IndexRange]] = defaultdict(list)
    read: dict[_Key, int] = {}
    for one in ranges:
        account, chat, low, high, upto = one.account, one.chat, one.low, one.high, one.read
        head = heads.get(chat, 0)
        low, high = max(low, 1), min(high, head)
        if low > high:
            continue
        key = account, chat
        delivered[key].append((low, high))
        if upto > 0:
            read[key] = max(read.get(key, 0), min(upto, head))
    if not delivered:
        return
    keys = sorted(delivered)
    rows = fetch_cursors(connection, keys)
    stored, columns = decode_cursors(rows), {(row[0], row[1]): row[2:5] for row in rows}
    if missing := [(*key, *_NEW[:2]) for key in keys if key not in stored]:
        _CREATE_CURSORS.run(connection, missing)
    changed = []
    for key in keys:
        before = stored.get(key, Cursor())
        cursor = merge_delivered(read_up_to(before, read.get(key, 0)), delivered[key], limit)
        if key in read:
            cursor = cursor._replace(unread_from=None)
        if cursor != before:
            old_index, old_above, old_upto = columns.get(key, _NEW)
            new = cursor.delivered_index, _json(cursor.above).decode(), cursor.read_index
            changed.append((*key, *new, int(key in read), old_index, old_above, old_upto or 0))
    if changed and len(_REPLACE_CURSORS.fetch(connection, changed)) < len(changed):
        raise CursorsMoved


def _of_devices(connection: sa.Connection, positions: Sequence[DevicePosition]) -> list[ReadRange]:
    known = present(connection, {one.device for one in positions})
    return [
        ReadRange(reader(one.account, one.device), one.chat, 1, one.index) for one in positions if one.device in known
    ]


def mark_unread(connection: sa.Connection, account: AccountId, chat: ChatId, index: int) -> None:
    """Marks the messages from `index` on as unread. A repetition changes nothing."""
    new = insert(connection, cursors).values(
        account_id=account, chat_id=chat, read_index=0, above="[]", unread_from=index
    )
    key = [cursors.c.account_id, cursors.c.chat_id]
    connection.execute(new.on_conflict_do_update(index_elements=key, set_={"unread_from": index}))


def erase(connection: sa.Connection, account: AccountId) -> None:
    """Delete an account's read state, its drafts and its devices."""
    remove_all(connection, account)
    delete_cursors(connection, [account])
    connection.execute(sa.delete(drafts).where(drafts.c.account_id == account))


def with_cursors(connection: sa.Connection, accounts: list[AccountId]) -> list[AccountId]:
    """The accounts among `accounts` that have read state, drafts or devices."""
    tables = cursors, drafts, devices
    found = (sa.select(table.c.account_id).where(table.c.account_id.in_(accounts)) for table in tables)
    return [AccountId(number) for number in connection.scalars(sa.union(*found))]
