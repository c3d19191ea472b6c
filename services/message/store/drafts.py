"""Stores the drafts that accounts are writing. Each statement changes a draft only if the stored draft is the one that
the client has seen."""

from collections.abc import Iterable

import sqlalchemy as sa

from services.message.tables import drafts
from shared.contract.drafts import PREVIEW_CHARACTERS, DraftPreview, DraftSaved, SavedDraft, SaveDraft, preview
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import Draft
from shared.sql import insert

_FIELDS = drafts.c.rev, drafts.c.text, drafts.c.reply_to
_BEGINNING = sa.func.substr(drafts.c.text, 1, PREVIEW_CHARACTERS + 1)
_SENT = sa.delete(drafts).where(
    drafts.c.account_id == sa.bindparam("account"), drafts.c.chat_id == sa.bindparam("chat"),
    drafts.c.rev == sa.bindparam("saved"),
)  # fmt: skip


def find(connection: sa.Connection, account: AccountId, chat: ChatId) -> SavedDraft:
    row = connection.execute(sa.select(*_FIELDS).where(_is_of(account, chat))).one_or_none()
    return SavedDraft() if row is None else SavedDraft(*row)


def previews(connection: sa.Connection, account: AccountId) -> dict[ChatId, DraftPreview]:
    rows = sa.select(drafts.c.chat_id, drafts.c.rev, _BEGINNING, drafts.c.reply_to)
    found = connection.execute(rows.where(drafts.c.account_id == account))
    return {ChatId(chat): preview(SavedDraft(*draft)) for chat, *draft in found}


def save(connection: sa.Connection, request: SaveDraft, now: int) -> DraftSaved:
    rev = max(now, request.base + 1)
    if _replace(connection, request, rev):
        return DraftSaved(rev)
    found = find(connection, request.actor, request.chat)
    if (found.text, found.reply_to) == (request.text, request.reply_to) or not (found.text or request.text):
        return DraftSaved(found.rev or rev)
    return DraftSaved(conflict=found)


def _replace(connection: sa.Connection, request: SaveDraft, rev: int) -> bool:
    """Replaces or removes a draft. Returns whether the stored draft was the one that the client has seen."""
    expected = sa.and_(_is_of(request.actor, request.chat), drafts.c.rev == request.base)
    values = {"rev": rev, "text": request.text, "reply_to": request.reply_to}
    if not request.text:
        return connection.execute(sa.delete(drafts).where(expected)).rowcount == 1
    if request.base:
        return connection.execute(sa.update(drafts).where(expected).values(values)).rowcount == 1
    new = insert(connection, drafts).values(account_id=request.actor, chat_id=request.chat, **values)
    return connection.execute(new.on_conflict_do_nothing().returning(drafts.c.rev)).one_or_none() is not None


def remove_sent(connection: sa.Connection, posted: Iterable[Draft]) -> None:
    """Remove the stored drafts that were sent as these messages (at least one message)."""
    connection.execute(_SENT, [{"account": one.sender, "chat": one.chat, "saved": one.saved} for one in posted])


def _is_of(account: AccountId, chat: ChatId) -> sa.ColumnElement[bool]:
    return sa.and_(drafts.c.account_id == account, drafts.c.chat_id == chat)
