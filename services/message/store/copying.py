"""Copies the rows of some partitions to another database, and deletes copies, in short transactions.

Messages are numbered without a hole within their chat, and so are their changes: the head of the chat's copy tells how
far it has come with both. They expire in each database by itself. Read state is copied again whenever it has changed.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa
from msgspec.structs import replace

from services.message.domain import chunks
from services.message.store import copying_revisions as revisions
from services.message.store.moves import (
    Change,
    MoveError,
    delete_changes,
    last_change,
    load_changes,
    require_token,
)
from services.message.store.placement import last_id, load
from services.message.store.snapshot import CursorFields, Snapshot, fetch_cursors
from shared.contract.body import EXPIRED_BODY
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.model import Message
from shared.partitions import partition_of

T = TypeVar("T")

Span = tuple[ChatId, int, int]
"""A chat, the first and the last of some of its indexes."""

_SCANNED = 5_000
_ROWS = 256
"""Of a transaction that writes. A body has 64 KiB at most."""
_COUNTED = 100_000
_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 1.0

_HEADS = sa.text("SELECT chat_id FROM heads WHERE chat_id > :after ORDER BY chat_id LIMIT :page")
_CURSORS = sa.text("""
    SELECT account_id, chat_id FROM cursors
    WHERE (account_id, chat_id) > (:account, :chat) ORDER BY account_id, chat_id LIMIT :page""")
_INSERT_MESSAGE = sa.text("""
    INSERT INTO messages (id, chat_id, "index", sender, nonce, time, body)
    VALUES (:id, :chat, :index, :sender, :nonce, :time, :body) ON CONFLICT DO NOTHING""")
_SAVE_HEAD = sa.text("""
    INSERT INTO heads (chat_id, last_index, last_time) VALUES (:chat, :index, :time)
    ON CONFLICT (chat_id) DO UPDATE SET last_index = :index, last_time = :time""")
_SAVE_CURSOR = sa.text("""
    INSERT INTO cursors (account_id, chat_id, read_index, above) VALUES (:account, :chat, :read_index, :above)
    ON CONFLICT (account_id, chat_id) DO UPDATE SET read_index = :read_index, above = :above""")
_DELETE_MESSAGES = sa.text("""
    DELETE FROM messages WHERE chat_id = :chat AND "index" BETWEEN :low AND :high AND id <> :kept""")
_DELETE_HEAD = sa.text("DELETE FROM heads WHERE chat_id = :chat")
_DELETE_CURSOR = sa.text("DELETE FROM cursors WHERE account_id = :account AND chat_id = :chat")


TRANSIENT = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
"""The database is locked or away."""


class TooSlow(Exception):
    """The time for copying the last changes is over."""


def write(engine: sa.Engine, work: Callable[..., T], *arguments: object) -> T:
    """One transaction."""
    with engine.connect() as connection, connection.execution_options(begin="BEGIN IMMEDIATE").begin():
        return work(connection, *arguments)


def read(engine: sa.Engine, work: Callable[..., T], *arguments: object) -> T:
    """One transaction."""
    with engine.connect() as connection, connection.begin():
        return work(connection, *arguments)


def retry(work: Callable[[], T]) -> T:
    """Repeats an idempotent step while its database is locked or away. Raises sqlalchemy.exc.SQLAlchemyError after half
    a minute."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return work()
        except TRANSIENT:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


class RangeCopy:
    """The rows of some partitions (`chosen`, of `partitions`) in two databases. After each step it pauses for as long
    as the step took, so that the databases serve meanwhile. All methods are idempotent, and raise MoveError and
    sqlalchemy.exc.SQLAlchemyError."""

    def __init__(
        self, source: sa.Engine, target: sa.Engine, chosen: Collection[int], partitions: int, token: str
    ) -> None:
        self._source = source
        self._target = target
        self._chosen = chosen
        self._partitions = partitions
        self._token = token
        self._deadline: float | None = None
        self.messages = 0
        """Copied so far."""

    # Copying

    def copy_all(self) -> None:
        """The source must record changes, from before the call on."""
        for chats in self._chats(self._source):
            self._copy_chats(chats)
            self._check_counts(chats)
        for keys in self._cursors(self._source):
            self._step(self._copy_cursors, keys)

    def copy_changes(self, deadline: float | None = None) -> None:
        """Copies all rows that have changed until now. With a `deadline`, of time.monotonic, there are no pauses and no
        retries, and it raises TooSlow."""
        self._deadline = deadline
        try:
            last = self._step(read, self._source, last_change)
            while changes := self._step(read, self._source, load_changes, last, _SCANNED):
                self._copy_changed([change for change in changes if self._is_chosen(change.chat)])
                self._step(self._write, self._source, delete_changes, changes)
        finally:
            self._deadline = None

    def verify(self) -> None:
        """Each copy has come as far as its chat had when the changes were copied once more."""
        for chats in self._chats(self._source):
            least, least_revs = (self._step(read, self._source, one, chats) for one in (_heads, revisions.revs))
            self.copy_changes()
            heads, revs = (self._step(read, self._target, one, chats) for one in (_heads, revisions.revs))
            if behind := [chat for chat, head in least.items() if heads.get(chat, 0) < head]:
                raise MoveError(f"the copy of chat {behind[0]} lacks its last messages")
            if behind := [chat for chat, rev in least_revs.items() if revs.get(chat, 0) < rev]:
                raise MoveError(f"the copy of chat {behind[0]} lacks its last changes")

    def delete_all_changes(self) -> None:
        """After the end of their recording."""
        last = self._step(read, self._source, last_change)
        while changes := self._step(read, self._source, load_changes, last, _SCANNED):
            self._step(self._write, self._source, delete_changes, changes)

    def _copy_changed(self, changes: Sequence[Change]) -> None:
        self._copy_chats(sorted({ChatId(change.chat) for change in changes if not change.account}))
        for keys in _batched({(change.account, change.chat) for change in changes if change.account}):
            self._step(self._copy_cursors, keys)

    def _copy_chats(self, chats: Sequence[ChatId]) -> None:
        """The messages that the copies of these chats lack, then their changes."""
        source, target = (self._step(read, engine, _heads, chats) for engine in (self._source, self._target))
        missing = ((chat, target.get(chat, 0) + 1, head) for chat, head in sorted(source.items()))
        for spans in chunks(missing, _ROWS):
            self._step(self._copy_messages, spans)
        self._copy_revisions(chats)

    def _copy_revisions(self, chats: Sequence[ChatId]) -> None:
        last = self._step(read, self._source, revisions.revs, chats)
        copied = self._step(read, self._target, revisions.revs, list(last)) if last else {}
        for chat, rev in sorted(last.items()):
            while copied.get(chat, 0) < rev:
                copied[chat] = self._step(self._copy_revision_page, chat, copied.get(chat, 0))

    def _copy_revision_page(self, chat: ChatId, after: int) -> int:
        page = read(self._source, revisions.load_page, chat, after)
        self._write(self._target, revisions.save_page, page)
        return page.rev

    def _copy_messages(self, spans: Sequence[Span]) -> None:
        messages = read(self._source, _messages, spans)
        if len(messages) != sum(high - low + 1 for _, low, high in spans):
            raise MoveError(f"the source lacks messages of chat {spans[0][0]}, or of one of the next chats")
        self._write(self._target, _save_messages, messages, spans)
        self.messages += len(messages)

    def _check_counts(self, chats: Sequence[ChatId]) -> None:
        """The copies have all messages up to their heads."""
        heads = self._step(read, self._target, _heads, chats)
        for spans in chunks(((chat, 1, head) for chat, head in sorted(heads.items())), _COUNTED):
            if self._step(read, self._target, _count, spans) != sum(high - low + 1 for _, low, high in spans):
                raise MoveError(f"the copy of chat {spans[0][0]}, or of one of the next chats, is not complete")

    def _copy_cursors(self, keys: Sequence[tuple[int, int]]) -> None:
        rows = read(self._source, fetch_cursors, keys)
        self._write(self._target, _save_cursors, rows, set(keys) - {(account, chat) for account, chat, *_ in rows})

    # Deleting

    def delete_from_source(self) -> None:
        """After the switch. Messages are compared with those of the target before they are deleted."""
        self._delete(self._source, self._require_in_target)

    def delete_from_target(self) -> None:
        """After a move that was given up."""
        self._delete(self._target, lambda _: None)

    def _require_in_target(self, spans: Sequence[Span]) -> None:
        changed = read(self._target, revisions.changed, spans)
        _require_equal(read(self._source, _messages, spans), read(self._target, _messages, spans), changed)
        chats = {chat for chat, _, _ in spans}
        revs = read(self._target, revisions.revs, chats)
        for chat, rev in read(self._source, revisions.revs, chats).items():
            if revs.get(chat, 0) < rev:
                raise MoveError(f"changes of messages of chat {chat} are missing in the target")

    def _delete(self, engine: sa.Engine, check: Callable[[Sequence[Span]], None]) -> None:
        """A chat's head last, by which an interrupted command finds the rest of it."""

        def delete(spans: Sequence[Span]) -> None:
            check(spans)
            self._write(engine, _delete_messages, spans)

        for chats in self._chats(engine):
            heads = self._step(read, engine, _heads, chats)
            for spans in chunks(((chat, 1, head) for chat, head in sorted(heads.items())), _ROWS):
                self._step(delete, spans)
            self._step(self._write, engine, _delete_heads, chats)
        for keys in self._cursors(engine):
            self._step(self._write, engine, _delete_cursors, keys)

    # Steps

    def _step(self, work: Callable[..., T], *arguments: object) -> T:
        if self._deadline is not None:
            if time.monotonic() > self._deadline:
                raise TooSlow
            return work(*arguments)
        began = time.monotonic()
        result = retry(partial(work, *arguments))
        time.sleep(min(time.monotonic() - began, _LONGEST_PAUSE_SECONDS))
        return result

    def _write(self, engine: sa.Engine, work: Callable[..., object], *arguments: object) -> None:
        def checked(connection: sa.Connection) -> None:
            require_token(connection, self._token)
            work(connection, *arguments)

        write(engine, checked)

    def _is_chosen(self, chat: int) -> bool:
        return partition_of(ChatId(chat), self._partitions) in self._chosen

    def _chats(self, engine: sa.Engine) -> Iterator[Sequence[ChatId]]:
        """The chosen chats, a few at a time."""
        after = 0
        while chats := self._step(read, engine, _next_chats, after):
            after = chats[-1]
            yield from _batched(filter(self._is_chosen, chats))

    def _cursors(self, engine: sa.Engine) -> Iterator[Sequence[tuple[int, int]]]:
        """The accounts with read state of the chosen chats, and these chats, a few at a time."""
        after = (0, 0)
        while keys := self._step(read, engine, _next_cursors, after):
            after = keys[-1]
            yield from _batched(key for key in keys if self._is_chosen(key[1]))


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    """As many as a transaction writes."""
    rest = iter(items)
    while batch := list(islice(rest, _ROWS)):
        yield batch


# Statements


def _next_chats(connection: sa.Connection, after: int) -> list[ChatId]:
    return [ChatId(chat) for chat in connection.scalars(_HEADS, {"after": after, "page": _SCANNED})]


def _next_cursors(connection: sa.Connection, after: tuple[int, int]) -> list[tuple[int, int]]:
    account, chat = after
    rows = connection.execute(_CURSORS, {"account": account, "chat": chat, "page": _SCANNED})
    return [(account, chat) for account, chat in rows]


def _heads(connection: sa.Connection, chats: Iterable[ChatId]) -> dict[ChatId, int]:
    return Snapshot(connection).heads(chats)


def _messages(connection: sa.Connection, spans: Iterable[Span]) -> list[Message]:
    return list(Snapshot(connection).messages(spans))


def _count(connection: sa.Connection, spans: Sequence[Span]) -> int:
    return Snapshot(connection).count(spans, NO_ACCOUNT)


def _save_messages(connection: sa.Connection, messages: Sequence[Message], spans: Sequence[Span]) -> None:
    connection.execute(
        _INSERT_MESSAGE,
        [
            {"id": one.id, "chat": one.chat, "index": one.index, "sender": one.sender, "nonce": one.nonce,
             "time": one.time, "body": one.body}
            for one in messages
        ],
    )  # fmt: skip
    last = {one.chat: one for one in messages}
    connection.execute(_SAVE_HEAD, [{"chat": chat, "index": one.index, "time": one.time} for chat, one in last.items()])
    _require_equal(messages, _messages(connection, spans))


def _require_equal(
    messages: Sequence[Message], copies: Sequence[Message], changed: Collection[tuple[ChatId, int]] = ()
) -> None:
    """Each of the messages is among the copies. Those in `changed`, and those that have expired in one of the
    databases, may have another text."""
    known = {(copy.chat, copy.index): copy for copy in copies}
    for one in messages:
        copy = known.get((one.chat, one.index))
        if copy is not None and (EXPIRED_BODY in (copy.body, one.body) or (one.chat, one.index) in changed):
            copy = replace(copy, body=one.body)
        if copy != one:
            raise MoveError(f"message {one.index} of chat {one.chat} is another one in the target, or missing there")


def _save_cursors(connection: sa.Connection, rows: Sequence[CursorFields], erased: Collection[tuple[int, int]]) -> None:
    if rows:
        names = ("account", "chat", "read_index", "above")
        connection.execute(_SAVE_CURSOR, [dict(zip(names, row, strict=True)) for row in rows])
    if erased:
        _delete_cursors(connection, erased)


def _delete_messages(connection: sa.Connection, spans: Sequence[Span]) -> None:
    """With their changes. Save for the last one that this database has numbered: it keeps SQLite from assigning its id
    again."""
    stored = load(connection)
    assert stored is not None
    revisions.delete(connection, spans)
    kept = last_id(connection, stored)
    connection.execute(
        _DELETE_MESSAGES, [{"chat": chat, "low": low, "high": high, "kept": kept} for chat, low, high in spans]
    )


def _delete_heads(connection: sa.Connection, chats: Iterable[ChatId]) -> None:
    connection.execute(_DELETE_HEAD, [{"chat": chat} for chat in chats])


def _delete_cursors(connection: sa.Connection, keys: Iterable[tuple[int, int]]) -> None:
    connection.execute(_DELETE_CURSOR, [{"account": account, "chat": chat} for account, chat in keys])
