"""Changes of committed messages: edits, recalls, reactions, pins. Each change is one transaction under the lock of the
chat's row, and gets the chat's next `rev`. A repeated request changes nothing. Old messages
expire."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from services.message.domain import (
    MAX_EDITS,
    MAX_EMOJI,
    MAX_PINS,
    NO_SUCH_MESSAGE,
    NONCE_USED,
    ChangePermissions,
    check_change,
)
from services.message.store.snapshot import PINNED, UNPINNED, Slot, Snapshot
from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, comparable, with_reply_of
from shared.contract.errors import ErrorCode, Failure, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.message import (
    Changed,
    ChangeKind,
    ChangeMessage,
    Draft,
    EditText,
    MessageChange,
    PinMessage,
    React,
    RecallText,
)
from shared.contract.model import Message
from shared.emoji import canonical_emoji

_LOCK_HEAD = sa.text("SELECT rev FROM heads WHERE chat_id = :chat")
_LOCK_HEAD_POSTGRESQL = sa.text("""
    SELECT rev FROM heads JOIN messages USING (chat_id) WHERE chat_id = :chat AND "index" = :index FOR UPDATE""")
"""The message is also locked, because it may expire meanwhile. Expiry does not lock the chats."""
SET_REV = sa.text("UPDATE heads SET rev = :rev WHERE chat_id = :chat")
SET_BODY = sa.text('UPDATE messages SET body = :body WHERE chat_id = :chat AND "index" = :index')
_REVISION = sa.text("""
    SELECT rev, kind, actor, time FROM revisions WHERE chat_id = :chat AND slot = :slot AND "index" = :index""")
SAVE_REVISION = sa.text("""
    INSERT INTO revisions (chat_id, slot, "index", rev, kind, actor, time)
    VALUES (:chat, :slot, :index, :rev, :kind, :actor, :time)
    ON CONFLICT (chat_id, slot, "index") DO UPDATE SET rev = :rev, kind = :kind, actor = :actor, time = :time""")
_EDIT = sa.text("""
    SELECT rev, digest FROM edits WHERE chat_id = :chat AND "index" = :index AND nonce = :nonce""")
_COUNT_EDITS = sa.text('SELECT count(*) FROM edits WHERE chat_id = :chat AND "index" = :index AND rev > 0')
_SAVE_EDIT = sa.text("""
    INSERT INTO edits (chat_id, "index", nonce, rev, digest) VALUES (:chat, :index, :nonce, :rev, :digest)
    ON CONFLICT DO NOTHING""")
_REACTED = sa.text("""
    SELECT 1 FROM reactions WHERE chat_id = :chat AND "index" = :index AND emoji = :emoji AND account_id = :account""")
_ADD_REACTION = sa.text("""
    INSERT INTO reactions (chat_id, "index", emoji, account_id) VALUES (:chat, :index, :emoji, :account)""")
_REMOVE_REACTION = sa.text("""
    DELETE FROM reactions
    WHERE chat_id = :chat AND "index" = :index AND emoji = :emoji AND account_id = :account""")
_REMOVE_REACTIONS = sa.text('DELETE FROM reactions WHERE chat_id = :chat AND "index" = :index')
_UNPIN = sa.text("""
    UPDATE revisions SET kind = :unpinned WHERE chat_id = :chat AND slot = :slot AND "index" = :index""")

_AGAIN_MS = 30_000
"""A change that is requested again within this time is announced again. Edges repeat their requests for a shorter
time."""

_IF_REV = Failure(ErrorCode.CONFLICT, "the message has changed since", "if_rev", reason=Reason.CHANGED)
_TOO_MANY_EDITS = Failure(ErrorCode.LIMIT, f"a message is edited {MAX_EDITS} times at most", "index")
_NO_EMOJI = Failure(ErrorCode.INVALID, "a reaction needs an emoji", "emoji")
_TOO_MANY_EMOJI = Failure(ErrorCode.LIMIT, f"a message has {MAX_EMOJI} different reactions at most", "emoji")
_TOO_MANY_PINS = Failure(ErrorCode.LIMIT, f"a chat has {MAX_PINS} pinned messages at most", "index")


class Revised(NamedTuple):
    """`change`: the change to announce; None if an earlier request made it. `again`: an earlier request made the change
    a moment ago, and the replica of that request may have died before it announced the change."""

    reply: Changed
    change: MessageChange | None
    message: Message
    again: MessageChange | None = None


def revise(connection: sa.Connection, request: ChangeMessage, permissions: ChangePermissions, now: int) -> Revised:
    """Make the requested change, unless an earlier request has made it. Raises RequestError."""
    if isinstance(change := request.change, React):
        if not (emoji := canonical_emoji(change.emoji)):
            raise RequestError.from_failure(_NO_EMOJI)
        request = msgspec.structs.replace(request, change=React(emoji, change.on))
    locked = _LOCK_HEAD_POSTGRESQL if connection.dialect.name == "postgresql" else _LOCK_HEAD
    rev = connection.execute(locked, {"chat": request.chat, "index": request.index}).scalar_one_or_none()
    message = next(Snapshot(connection).messages([(request.chat, request.index, request.index)]), None)
    if rev is None or message is None or message.index < permissions.first_index:
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    return _Revision(connection, request, message, permissions, rev + 1, now).make()


@dataclass(frozen=True)
class _Revision:
    """One request for a change, under the lock of the chat's row. `rev`: the number of the change that it makes."""

    _connection: sa.Connection
    _request: ChangeMessage
    _message: Message
    _permissions: ChangePermissions
    _rev: int
    _now: int

    def make(self) -> Revised:
        match self._request.change:
            case EditText() as edit:
                return self._edit(edit)
            case RecallText():
                return self._recall()
            case React(emoji, on):
                return self._react(emoji, on=on)
            case PinMessage(on):
                return self._pin(on=on)

    # Kinds

    def _edit(self, edit: EditText) -> Revised:
        if edit.nonce == self._message.nonce:
            raise RequestError.from_failure(NONCE_USED)
        digest = _digest(edit.body)
        known = self._execute(_EDIT, nonce=edit.nonce).one_or_none()
        if known is not None:
            if bytes(known.digest) != digest:
                raise RequestError.from_failure(NONCE_USED)
            return self._made_before(Slot.TEXT, known.rev)
        self._check()
        if edit.if_rev is not None and self._last(Slot.TEXT).rev > edit.if_rev:
            raise RequestError.from_failure(_IF_REV)
        if self._execute(_COUNT_EDITS).scalar_one() >= MAX_EDITS:
            raise RequestError.from_failure(_TOO_MANY_EDITS)
        body = with_reply_of(edit.body, self._message.body)
        self._replace_body(body)
        self._execute(_SAVE_EDIT, nonce=edit.nonce, rev=self._rev, digest=digest)
        return self._save(Slot.TEXT, ChangeKind.EDIT, body=body)

    def _recall(self) -> Revised:
        last = self._last(Slot.TEXT)
        if last.kind == ChangeKind.RECALL:
            return self._made_before(Slot.TEXT, last.rev)
        self._check()
        self._replace_body(RECALLED_BODY)
        self._execute(_REMOVE_REACTIONS)
        self._execute(_UNPIN, slot=Slot.PIN, unpinned=UNPINNED)
        return self._save(Slot.TEXT, ChangeKind.RECALL)

    def _react(self, emoji: str, *, on: bool) -> Revised:
        known = {"emoji": emoji, "account": self._request.actor}
        if on is (self._execute(_REACTED, **known).one_or_none() is not None):
            return self._made_before(Slot.REACTIONS, self._last(Slot.REACTIONS).rev)
        self._check()
        if on and emoji not in (counts := self._reactions()) and len(counts) >= MAX_EMOJI:
            raise RequestError.from_failure(_TOO_MANY_EMOJI)
        self._execute(_ADD_REACTION if on else _REMOVE_REACTION, **known)
        return self._save(Slot.REACTIONS, ChangeKind.REACTION, reactions=self._reactions(), emoji=emoji, on=on)

    def _pin(self, *, on: bool) -> Revised:
        last = self._last(Slot.PIN)
        if on is (last.kind == PINNED):
            return self._made_before(Slot.PIN, last.rev)
        self._check()
        if on and len(Snapshot(self._connection).pins([self._request.chat]).get(self._request.chat, ())) >= MAX_PINS:
            raise RequestError.from_failure(_TOO_MANY_PINS)
        return self._save(Slot.PIN, ChangeKind.PIN, on=on)

    # Steps

    def _check(self) -> None:
        if failure := check_change(self._message, self._request, self._permissions):
            raise RequestError.from_failure(failure)

    def _replace_body(self, body: bytes) -> None:
        """Replace the body. A hash of the first body is kept, by which a repeated message is recognized."""
        message = self._message
        self._execute(_SAVE_EDIT, nonce=message.nonce, rev=0, digest=_digest(message.body))
        self._execute(SET_BODY, body=body)

    def _save(
        self,
        slot: Slot,
        kind: ChangeKind,
        *,
        body: bytes = b"",
        reactions: dict[str, int] | None = None,
        emoji: str = "",
        on: bool = True,
    ) -> Revised:
        request, rev, now = self._request, self._rev, self._now
        stored = UNPINNED if kind is ChangeKind.PIN and not on else kind.value
        self._execute(SAVE_REVISION, slot=slot, rev=rev, kind=stored, actor=request.actor, time=now)
        self._execute(SET_REV, rev=rev)
        change = MessageChange(
            request.chat, rev, request.index, kind, request.actor, now, body, reactions or {}, None, emoji, on
        )
        return Revised(Changed(rev, now, change.reactions.get(emoji, 0)), change, self._message)

    def _made_before(self, slot: Slot, rev: int) -> Revised:
        """The reply that an earlier request got, as far as it is known. `rev`: the number of the last change, or 0 if
        there was none."""
        change = self._request.change
        reactions = self._reactions() if isinstance(change, React) else {}
        count = reactions.get(change.emoji, 0) if isinstance(change, React) else 0
        last = self._last(slot)
        is_own = last.rev == rev and last.actor == self._request.actor
        again = None
        if is_own and self._now - last.time < _AGAIN_MS:
            request, message = self._request, self._message
            kind = ChangeKind.PIN if slot is Slot.PIN else ChangeKind(last.kind)
            body = message.body if kind is ChangeKind.EDIT else b""
            on = last.kind != UNPINNED  # the database does not store which emoji the last reaction added or removed
            again = MessageChange(
                request.chat, rev, request.index, kind, request.actor, last.time, body, reactions, on=on
            )
        time = last.time if last.rev == rev > 0 else self._now
        return Revised(Changed(rev, time, count), None, self._message, again)

    def _last(self, slot: Slot) -> "_Last":
        row = self._execute(_REVISION, slot=slot).one_or_none()
        return _Last(0, "", NO_ACCOUNT, 0) if row is None else _Last(row.rev, row.kind, row.actor, row.time)

    def _reactions(self) -> dict[str, int]:
        request = self._request
        place = (request.chat, request.index)
        found = Snapshot(self._connection).reactions([(*place, request.index)], request.actor).get(place)
        return found.counts if found else {}

    def _execute(self, statement: sa.TextClause, **others: object) -> sa.CursorResult[Any]:
        place = {"chat": self._request.chat, "index": self._request.index}
        return self._connection.execute(statement, place | others)


class _Last(NamedTuple):
    rev: int
    kind: str
    actor: AccountId
    time: int


def find_first_bodies(
    connection: sa.Connection, drafts: Sequence[Draft], results: Iterable[Message | None]
) -> frozenset[tuple[ChatId, int, bytes]]:
    """The chat, index and first body of drafts that were posted before and have changed since. Only messages whose text
    has changed are looked up."""
    found: set[tuple[ChatId, int, bytes]] = set()
    for draft, message in zip(drafts, results, strict=True):
        if message is None or message.body in (draft.body, EXPIRED_BODY):
            continue
        place = {"chat": message.chat, "index": message.index, "nonce": message.nonce}
        first = connection.execute(_EDIT, place).one_or_none()
        if first is not None and bytes(first.digest) == _digest(draft.body):
            found.add((message.chat, message.index, draft.body))
    return frozenset(found)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(comparable(body), digest_size=16).digest()


# Expiry replaces the bodies of messages in short transactions, and removes their reactions. The other columns stay.

_EXPIRED_ROWS = 200
_PAGE = sa.text("SELECT id, time FROM messages WHERE id > :after ORDER BY id LIMIT :rows")
_EXPIRE_BODIES = sa.text("""
    UPDATE messages SET body = :body
    WHERE id > :after AND id <= :last AND time < :before AND body <> :body""")

_OF_EXPIRED = """
    DELETE FROM {table} WHERE (chat_id, "index") IN (
        SELECT chat_id, "index" FROM messages WHERE id > :after AND id <= :last AND time < :before)"""
_EXPIRE_DRAFTS = sa.text("DELETE FROM drafts WHERE rev < :before")
_EXPIRE_OTHERS = [sa.text(_OF_EXPIRED.format(table=table)) for table in ("reactions", "edits")]
"""The hashes of previous texts are also deleted. Afterwards, only the nonce shows that a message is repeated."""


class Expired(NamedTuple):
    """The result of one step. `last`: the id of the last examined message; None if no message follows. `expired`: the
    number of bodies replaced."""

    last: int | None
    expired: int


def expire(connection: sa.Connection, before: int, after: int) -> Expired:
    """Examine the next messages after the id `after`, and replace the bodies of those sent before `before` (Unix
    milliseconds). The first call also removes the drafts from before that time."""
    if not after:
        connection.execute(_EXPIRE_DRAFTS, {"before": before})
    page = connection.execute(_PAGE, {"after": after, "rows": _EXPIRED_ROWS}).all()
    if not page:
        return Expired(None, 0)
    last = page[-1].id
    if all(row.time >= before for row in page):
        return Expired(last, 0)
    place = {"before": before, "after": after, "last": last}
    replaced = connection.execute(_EXPIRE_BODIES, {"body": EXPIRED_BODY, **place})
    for deletion in _EXPIRE_OTHERS if replaced.rowcount else ():
        connection.execute(deletion, place)
    return Expired(last, replaced.rowcount)
