"""The things that accounts have made: incoming and outgoing webhooks, and links."""

from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from services.session.domain import ALWAYS
from services.session.store.memberships import increment_version
from services.session.tables import chat, incoming_webhook, link, outgoing_webhook
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import MADE_LISTED, ListAllWebhooks, Made, MadeLink, MadeWebhook, WebhookPage

_WEBHOOK_FIELDS = ("hook", "chat", "by", "name", "created")


def list_made(connection: sa.Connection, account: AccountId, now: int) -> Made:
    webhooks = _all_webhooks()
    newest = sa.select(webhooks).where(webhooks.c.by == account).order_by(webhooks.c.created.desc(), webhooks.c.hook)
    fields = link.c.link, link.c.chat, link.c.uses, link.c.expires, link.c.created
    links = sa.select(*fields).where(link.c.by == account, link.c.expires > now).order_by(link.c.created.desc())
    return Made(
        [_webhook(row) for row in connection.execute(newest.limit(MADE_LISTED))],
        [_link(row) for row in connection.execute(links.limit(MADE_LISTED))],
    )


def end_made(connection: sa.Connection, account: AccountId, now: int) -> dict[ChatId, int]:
    """Delete the webhooks and links that an account has made. Returns the new versions of the chats that have lost an
    outgoing webhook."""
    versions = _delete_outgoing(connection, outgoing_webhook.c.by == account, now)
    connection.execute(sa.delete(incoming_webhook).where(incoming_webhook.c.by == account))
    connection.execute(sa.delete(link).where(link.c.by == account))
    return versions


def list_hooks(connection: sa.Connection, request: ListAllWebhooks) -> WebhookPage:
    webhooks = _all_webhooks()
    found = sa.select(webhooks).where(webhooks.c.hook > request.after)
    if request.chat:
        found = found.where(webhooks.c.chat == request.chat)
    if request.by:
        found = found.where(webhooks.c.by == request.by)
    rows = connection.execute(found.order_by(webhooks.c.hook).limit(MADE_LISTED + 1)).all()
    return WebhookPage([_webhook(row) for row in rows[:MADE_LISTED]], more=len(rows) > MADE_LISTED)


def delete_hook(connection: sa.Connection, number: str, now: int) -> dict[ChatId, int] | None:
    """Delete a webhook. Returns the new version of the chat if it has lost an outgoing webhook; None if there is no
    such webhook."""
    if connection.execute(sa.delete(incoming_webhook).where(incoming_webhook.c.hook == number)).rowcount:
        return {}
    return _delete_outgoing(connection, outgoing_webhook.c.hook == number, now) or None


def _all_webhooks() -> sa.Subquery:
    """Selects all webhooks. Incoming webhooks have an empty endpoint."""
    incoming = sa.select(*(incoming_webhook.c[field] for field in _WEBHOOK_FIELDS), sa.literal("").label("endpoint"))
    outgoing = sa.select(*(outgoing_webhook.c[field] for field in _WEBHOOK_FIELDS), outgoing_webhook.c.endpoint)
    return incoming.union_all(outgoing).subquery()


def _delete_outgoing(connection: sa.Connection, which: sa.ColumnElement[bool], now: int) -> dict[ChatId, int]:
    """Delete outgoing webhooks. The chats are locked first, as in all changes of groups."""
    chats = sa.select(outgoing_webhook.c.chat).where(which)
    locked = sa.select(chat.c.id, chat.c.version).where(chat.c.id.in_(chats)).order_by(chat.c.id)
    versions = {ChatId(row.id): row.version for row in connection.execute(locked.with_for_update(key_share=True))}
    connection.execute(sa.delete(outgoing_webhook).where(which))
    for number in versions:
        increment_version(connection, number, now)
    return {number: version + 1 for number, version in versions.items()}


def _webhook(row: Any) -> MadeWebhook:
    url = urlsplit(row.endpoint)
    origin = f"{url.scheme}://{url.netloc}" if row.endpoint else ""
    return MadeWebhook(row.hook, ChatId(row.chat), AccountId(row.by), row.name, row.created, origin)


def _link(row: Any) -> MadeLink:
    expires = 0 if row.expires == ALWAYS else row.expires
    return MadeLink(row.link, ChatId(row.chat), row.uses or 0, expires, row.created)
