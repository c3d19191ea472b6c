"""Copies the changes of messages to another database: the revisions that its copy of a chat lacks, and the messages
concerned as they are now. The `rev` in the head of the copy tells how far it has come."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.message.store.revisions import SAVE_REVISION, SET_BODY, SET_REV
from services.message.store.set_statements import SetStatement
from services.message.store.snapshot import Slot, Snapshot
from shared.contract.ids import ChatId
from shared.contract.model import Message

PAGE = 64
"""Revisions of a transaction."""

_PAGE = sa.text("""
    SELECT slot, "index", rev, kind, actor, time FROM revisions
    WHERE chat_id = :chat AND rev > :after ORDER BY rev LIMIT :page""")
_CHANGED = SetStatement(
    sqlite="""
        SELECT chat_id, "index" FROM json_each(:rows) AS span CROSS JOIN revisions
        ON chat_id = span.value ->> 0 AND slot = :slot AND "index" BETWEEN span.value ->> 1 AND span.value ->> 2""",
    postgresql="""
        SELECT revisions.chat_id, index
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat, low, high)
        JOIN revisions ON chat_id = span.chat AND slot = :slot AND index BETWEEN span.low AND span.high""",
)
_SPAN = 'WHERE chat_id = :chat AND "index" BETWEEN :low AND :high'
_DELETIONS = [sa.text(f"DELETE FROM {table} {_SPAN}") for table in ("revisions", "edits", "reactions")]  # noqa: S608


class _Rows(NamedTuple):
    """All rows of a table for one message: how they are read, removed and written."""

    read: sa.TextClause
    remove: sa.TextClause
    write: sa.TextClause


_MESSAGE = 'WHERE chat_id = :chat AND "index" = :index'
_TABLES = [
    _Rows(
        sa.text(f"SELECT nonce, rev, digest FROM edits {_MESSAGE}"),  # noqa: S608
        sa.text(f"DELETE FROM edits {_MESSAGE}"),  # noqa: S608
        sa.text("""
            INSERT INTO edits (chat_id, "index", nonce, rev, digest) VALUES (:chat, :index, :nonce, :rev, :digest)"""),
    ),
    _Rows(
        sa.text(f"SELECT emoji, account_id FROM reactions {_MESSAGE}"),  # noqa: S608
        sa.text(f"DELETE FROM reactions {_MESSAGE}"),  # noqa: S608
        sa.text("""
            INSERT INTO reactions (chat_id, "index", emoji, account_id)
            VALUES (:chat, :index, :emoji, :account_id)"""),
    ),
]


class RevisionPage(NamedTuple):
    """Revisions of a chat, the messages concerned, and the further rows of each message by table. `rev`: the copy has
    come so far with them."""

    chat: ChatId
    revisions: Sequence[Mapping[str, Any]]
    messages: Sequence[Message]
    rows: Sequence[Mapping[int, Sequence[Mapping[str, Any]]]]
    rev: int


def revs(connection: sa.Connection, chats: Iterable[ChatId]) -> dict[ChatId, int]:
    """The last `rev` of each chat that has one."""
    return {chat: found.rev for chat, found in Snapshot(connection).activity(chats).items() if found.rev}


def load_page(connection: sa.Connection, chat: ChatId, after: int) -> RevisionPage:
    """From one snapshot."""
    last = revs(connection, [chat]).get(chat, 0)
    found = connection.execute(_PAGE, {"chat": chat, "after": after, "page": PAGE}).mappings().all()
    revisions = [dict(row) for row in found]
    indexes = sorted({row["index"] for row in revisions})
    messages = list(Snapshot(connection).messages([(chat, index, index) for index in indexes]))
    rows = [
        {index: [dict(row) for row in connection.execute(table.read, _place(chat, index)).mappings()]
         for index in indexes}
        for table in _TABLES
    ]  # fmt: skip
    return RevisionPage(chat, revisions, messages, rows, revisions[-1]["rev"] if len(revisions) == PAGE else last)


def save_page(connection: sa.Connection, page: RevisionPage) -> None:
    """Messages that are not copied yet will be, as they are then."""
    chat = page.chat
    for message in page.messages:
        connection.execute(SET_BODY, {**_place(chat, message.index), "body": message.body})
    for table, by_index in zip(_TABLES, page.rows, strict=True):
        for index, rows in by_index.items():
            connection.execute(table.remove, _place(chat, index))
            if rows:
                connection.execute(table.write, [{**_place(chat, index), **row} for row in rows])
    if page.revisions:
        connection.execute(SAVE_REVISION, [{"chat": chat, **row} for row in page.revisions])
    connection.execute(SET_REV, {"chat": chat, "rev": page.rev})


def changed(connection: sa.Connection, spans: Sequence[tuple[ChatId, int, int]]) -> set[tuple[ChatId, int]]:
    """Chat and index of the messages whose text has changed."""
    found = _CHANGED.fetch(connection, spans, slot=Slot.TEXT) if spans else ()
    return {(ChatId(chat), index) for chat, index in found}


def delete(connection: sa.Connection, spans: Collection[tuple[ChatId, int, int]]) -> None:
    for deletion in _DELETIONS:
        connection.execute(deletion, [{"chat": chat, "low": low, "high": high} for chat, low, high in spans])


def _place(chat: ChatId, index: int) -> dict[str, int]:
    return {"chat": chat, "index": index}
