"""What accounts have made: incoming and outgoing webhooks, and links."""

from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from services.session.domain import ALWAYS
from services.session.store.memberships import increment_version
from services.session.tables import chat, hook, link, outgoing_hook
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import MADE_LISTED, HookPage, ListAllHooks, Made, MadeHook, MadeLink

_HOOK_FIELDS = ("hook", "chat", "by", "name", "created")


def list_made(connection: sa.Connection, account: AccountId, now: int) -> Made:
    hooks = _all_hooks()
    newest = sa.select(hooks).where(hooks.c.by == account).order_by(hooks.c.created.desc(), hooks.c.hook)
    fields = link.c.link, link.c.chat, link.c.uses, link.c.expires, link.c.created
    links = sa.select(*fields).where(link.c.by == account, link.c.expires > now).order_by(link.c.created.desc())
    return Made(
        [_hook(row) for row in connection.execute(newest.limit(MADE_LISTED))],
        [_link(row) for row in connection.execute(links.limit(MADE_LISTED))],
    )


def end_made(connection: sa.Connection, account: AccountId, now: int) -> dict[ChatId, int]:
    """Returns the new versions of the chats that have lost an outgoing webhook."""
    versions = _delete_outgoing(connection, outgoing_hook.c.by == account, now)
    connection.execute(sa.delete(hook).where(hook.c.by == account))
    connection.execute(sa.delete(link).where(link.c.by == account))
    return versions


def list_hooks(connection: sa.Connection, request: ListAllHooks) -> HookPage:
    hooks = _all_hooks()
    found = sa.select(hooks).where(hooks.c.hook > request.after)
    if request.chat:
        found = found.where(hooks.c.chat == request.chat)
    if request.by:
        found = found.where(hooks.c.by == request.by)
    rows = connection.execute(found.order_by(hooks.c.hook).limit(MADE_LISTED + 1)).all()
    return HookPage([_hook(row) for row in rows[:MADE_LISTED]], more=len(rows) > MADE_LISTED)


def delete_hook(connection: sa.Connection, number: str, now: int) -> dict[ChatId, int] | None:
    """Returns the new version of the chat if it has lost an outgoing webhook; None: there is no such webhook."""
    if connection.execute(sa.delete(hook).where(hook.c.hook == number)).rowcount:
        return {}
    return _delete_outgoing(connection, outgoing_hook.c.hook == number, now) or None


def _all_hooks() -> sa.Subquery:
    """Incoming ones have no endpoint."""
    incoming = sa.select(*(hook.c[field] for field in _HOOK_FIELDS), sa.literal("").label("endpoint"))
    outgoing = sa.select(*(outgoing_hook.c[field] for field in _HOOK_FIELDS), outgoing_hook.c.endpoint)
    return incoming.union_all(outgoing).subquery()


def _delete_outgoing(connection: sa.Connection, which: sa.ColumnElement[bool], now: int) -> dict[ChatId, int]:
    """Locks the chats first, as all changes of groups do."""
    chats = sa.select(outgoing_hook.c.chat).where(which)
    locked = sa.select(chat.c.id, chat.c.version).where(chat.c.id.in_(chats)).order_by(chat.c.id)
    versions = {ChatId(row.id): row.version for row in connection.execute(locked.with_for_update(key_share=True))}
    connection.execute(sa.delete(outgoing_hook).where(which))
    for number in versions:
        increment_version(connection, number, now)
    return {number: version + 1 for number, version in versions.items()}


def _hook(row: Any) -> MadeHook:
    url = urlsplit(row.endpoint)
    origin = f"{url.scheme}://{url.netloc}" if row.endpoint else ""
    return MadeHook(row.hook, ChatId(row.chat), AccountId(row.by), row.name, row.created, origin)


def _link(row: Any) -> MadeLink:
    expires = 0 if row.expires == ALWAYS else row.expires
    return MadeLink(row.link, ChatId(row.chat), row.uses or 0, expires, row.created)
