"""Incoming webhooks, by which programs post to a group. Only the digest of a secret is stored. A webhook can post while
its maker manages the group."""

from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.store import profiles
from services.session.store.memberships import lock_managed_group
from services.session.store.sql import check_room, is_managed_by_maker, role_of
from services.session.tables import incoming_webhook
from shared.contract.bots import CreatedBot
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import EnsureProfile
from shared.contract.webhooks import (
    CreateIncomingWebhook,
    DeleteIncomingWebhook,
    FoundIncomingWebhook,
    IncomingWebhookList,
    IncomingWebhookView,
    ListIncomingWebhooks,
)
from shared.settings.limits import GroupLimits


class NewIncomingWebhook(NamedTuple):
    """`hook` is the name of the webhook. `account` posts the webhook's messages."""

    hook: str
    digest: str
    account: CreatedBot


def check_place(connection: sa.Connection, request: CreateIncomingWebhook, limits: GroupLimits) -> None:
    """Raises RequestError unless the actor may make one more webhook."""
    domain.check_can_manage(role_of(connection, request.chat, request.actor))
    here, rule = incoming_webhook.c.chat == request.chat, "a group has at most {} webhooks"
    check_room(connection, here, limits.incoming_webhooks_per_group, rule, "chat")


def create(
    connection: sa.Connection, request: CreateIncomingWebhook, new: NewIncomingWebhook, limits: GroupLimits, now: int
) -> AccountId:
    """Returns the account of the webhook. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    check_place(connection, request, limits)
    account = new.account
    values = {"chat": group.id, "by": request.actor, "name": request.name, "created": now, "account": account.account}
    connection.execute(sa.insert(incoming_webhook).values(hook=new.hook, digest=new.digest, **values))
    seed = EnsureProfile(
        account=account.account, uuid=account.uuid, nickname=account.nickname,
        signature=domain.webhook_signature(request.actor), created=account.created, bot=True,
    )  # fmt: skip
    profiles.add_profile(connection, seed, now)
    return account.account


def list_hooks(connection: sa.Connection, request: ListIncomingWebhooks) -> IncomingWebhookList:
    """Raises RequestError."""
    domain.check_can_manage(role_of(connection, request.chat, request.actor))
    fields = (
        incoming_webhook.c.hook,
        incoming_webhook.c.name,
        incoming_webhook.c.by,
        incoming_webhook.c.created,
        ~is_managed_by_maker(incoming_webhook),
        incoming_webhook.c.account,
    )
    found = (
        sa.select(*fields)
        .where(incoming_webhook.c.chat == request.chat)
        .order_by(incoming_webhook.c.created, incoming_webhook.c.hook)
    )
    rows = connection.execute(found)
    return IncomingWebhookList(
        [IncomingWebhookView(number, name, AccountId(by), *rest) for number, name, by, *rest in rows]
    )


def delete(connection: sa.Connection, request: DeleteIncomingWebhook) -> None:
    """Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    connection.execute(
        sa.delete(incoming_webhook).where(incoming_webhook.c.hook == request.hook, incoming_webhook.c.chat == group.id)
    )


def find(connection: sa.Connection, digest: str) -> FoundIncomingWebhook:
    """Find a webhook by its digest. Raises RequestError, also if the maker may not manage the group any more."""
    fields = (
        incoming_webhook.c.hook,
        incoming_webhook.c.chat,
        incoming_webhook.c.name,
        incoming_webhook.c.by,
        incoming_webhook.c.account,
        is_managed_by_maker(incoming_webhook).label("acts"),
    )
    row = connection.execute(sa.select(*fields).where(incoming_webhook.c.digest == digest)).one_or_none()
    if row is None:
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such webhook")
    if not row.acts:
        raise paused_webhook()
    return FoundIncomingWebhook(row.hook, ChatId(row.chat), row.name, AccountId(row.by), AccountId(row.account))


def paused_webhook() -> RequestError:
    """The error if a webhook may not post: its maker is demoted or disabled, or its own account is disabled."""
    return RequestError(
        ErrorCode.FORBIDDEN, "this webhook, or its maker, may not post to the group", reason=Reason.NOT_ADMIN
    )
