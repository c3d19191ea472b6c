"""Outgoing webhooks, which post the messages of a group while their makers manage it. The row of a webhook is its
queue: the messages from the index `next` to the index `known` are still to be posted. One process at a time holds the
lease of a webhook, and posts the webhook's messages."""

from collections.abc import Collection, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import sqlalchemy as sa

from services.session import domain
from services.session.store.memberships import increment_version, lock_managed_group
from services.session.store.sql import check_room, is_managed_by_maker, role_of
from services.session.tables import outgoing_webhook
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.webhooks import (
    CreateOutgoingWebhook,
    DeleteOutgoingWebhook,
    ListOutgoingWebhooks,
    OutgoingWebhookList,
    OutgoingWebhookView,
    ReplayOutgoingWebhook,
    WebhookState,
)
from shared.settings.limits import GroupLimits

_ROW = outgoing_webhook.c
_IS_MANAGED = is_managed_by_maker(outgoing_webhook)
_IS_DUE = sa.and_(_ROW.stopped.is_(False), _ROW.next <= _ROW.known, _IS_MANAGED)


class LeasedWebhook(NamedTuple):
    """A webhook for which this process posts. `due`: when its turn was due. `attempts`: the number of attempts that
    have failed since `failing_since` (Unix ms)."""

    hook: str
    chat: ChatId
    by: AccountId
    endpoint: str
    secret: str
    next: int
    due: int
    attempts: int
    failing_since: int
    slow: bool
    lease: str

    def __repr__(self) -> str:
        return f"LeasedWebhook({self.hook}, ***)"


class NewOutgoingWebhook(NamedTuple):
    hook: str
    secret: str
    head: int
    """The last index of the chat. The webhook posts the messages after this index."""

    def __repr__(self) -> str:
        return f"NewOutgoingWebhook({self.hook}, ***)"


# Requests of the owner and the admins


def check_manages(connection: sa.Connection, chat: ChatId, actor: AccountId) -> None:
    """Raises RequestError unless the actor manages the group."""
    domain.check_can_manage(role_of(connection, chat, actor))


def create(
    connection: sa.Connection, request: CreateOutgoingWebhook, new: NewOutgoingWebhook, limits: GroupLimits, now: int
) -> tuple[int, NewOutgoingWebhook]:
    """Stores a webhook. Returns the chat's new version, and the webhook. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    rule = "a group has at most {} outgoing webhooks"
    check_room(connection, _ROW.chat == group.id, limits.outgoing_webhooks_per_group, rule, "chat")
    made = {"hook": new.hook, "secret": new.secret, "next": new.head + 1, "known": new.head, "created": now}
    given = {"chat": group.id, "by": request.actor, "name": request.name, "endpoint": request.endpoint}
    connection.execute(sa.insert(outgoing_webhook).values(**made, **given, **_new_state(now)))
    increment_version(connection, group.id, now)
    return group.version + 1, new


def list_hooks(connection: sa.Connection, request: ListOutgoingWebhooks) -> OutgoingWebhookList:
    """Raises RequestError."""
    check_manages(connection, request.chat, request.actor)
    found = sa.select(outgoing_webhook, (~_IS_MANAGED).label("paused")).where(_ROW.chat == request.chat)
    found = found.order_by(_ROW.created, _ROW.hook)
    return OutgoingWebhookList([_view(row._mapping) for row in connection.execute(found)])


def _view(row: sa.RowMapping) -> OutgoingWebhookView:
    url = urlsplit(row["endpoint"])
    state = WebhookState.STOPPED if row["stopped"] else WebhookState.FAILING if row["attempts"] else WebhookState.ACTIVE
    place = row["hook"], row["name"], AccountId(row["by"]), f"{url.scheme}://{url.netloc}"
    return OutgoingWebhookView(*place, row["created"], row["next"], state, row["error"], row["paused"])


def delete(connection: sa.Connection, request: DeleteOutgoingWebhook, now: int) -> int:
    """Deletes a webhook. Returns the chat's version, which is new if the webhook existed. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    ours = sa.and_(_ROW.hook == request.hook, _ROW.chat == group.id)
    if not connection.execute(sa.delete(outgoing_webhook).where(ours)).rowcount:
        return group.version
    increment_version(connection, group.id, now)
    return group.version + 1


def replay(connection: sa.Connection, request: ReplayOutgoingWebhook, head: int, now: int) -> int:
    """Lets a webhook post the messages from `request.index` on again. Returns the index of the next message. The
    process that holds the lease loses it. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    start = min(request.index, head + 1)
    which = sa.and_(_ROW.hook == request.hook, _ROW.chat == group.id)
    if not _resume(connection, which, head, {**_new_state(now), "next": start}):
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such webhook", "hook")
    return start


def resume(connection: sa.Connection, hook: str, head: int, now: int) -> None:
    """Lets a stopped webhook continue where it stopped. A webhook that has not stopped just continues."""
    _resume(connection, _ROW.hook == hook, head, _new_state(now))


def _resume(
    connection: sa.Connection, which: sa.ColumnElement[bool], head: int, values: Mapping[str, int | str | bool]
) -> bool:
    known = sa.case((_ROW.known < head, head), else_=_ROW.known)
    return connection.execute(sa.update(outgoing_webhook).where(which).values(known=known, **values)).rowcount > 0


def _new_state(now: int) -> dict[str, int | str | bool]:
    """The state of a webhook that starts again. It is due after the webhooks that already wait. Otherwise, users could
    bring their webhook to the front by replaying it."""
    turns: dict[str, int | str | bool] = {"due": now, "lease": "", "leased_until": 0, "stopped": False}
    return {**turns, "attempts": 0, "failing_since": 0, "error": ""}


# The functions below read and write messages that a webhook has yet to post.


def known_heads(connection: sa.Connection, after: ChatId, limit: int) -> dict[ChatId, int]:
    """A page of the chats with webhooks that have not stopped, by ascending id. Each chat has the last index that all
    its webhooks know."""
    found = sa.select(_ROW.chat, sa.func.min(_ROW.known)).where(_ROW.chat > after, _ROW.stopped.is_(False))
    rows = connection.execute(found.group_by(_ROW.chat).order_by(_ROW.chat).limit(limit))
    return {ChatId(chat): known for chat, known in rows}


def note_head(connection: sa.Connection, chat: ChatId, head: int) -> None:
    """Note that the chat has messages up to `head`. The calls may come in any order."""
    connection.execute(sa.update(outgoing_webhook).where(_ROW.chat == chat, _ROW.known < head).values(known=head))


def has_due(connection: sa.Connection, now: int, held: Collection[str], *, slow: bool) -> bool:
    due = sa.select(sa.literal(1)).where(_waits(now, held, slow)).limit(1)
    return connection.execute(due).first() is not None


def lease_due(
    connection: sa.Connection, lease: str, now: int, until: int, limit: int, held: Collection[str], *, slow: bool
) -> list[LeasedWebhook]:
    """Lease webhooks that have messages to post now. `slow` selects webhooks with slow receivers or all others. The
    webhooks that have waited longest come first. Webhooks in `held` are left out, because their turn in this process
    has not ended. A replay ends the lease of a webhook, but not its turn."""
    fields = [_ROW[field] for field in LeasedWebhook._fields if field != "lease"]
    due = sa.select(*fields).where(_waits(now, held, slow)).order_by(_ROW.due, _ROW.hook).limit(limit)
    rows = connection.execute(due.with_for_update(skip_locked=True)).all()
    taken = sa.update(outgoing_webhook).where(_ROW.hook.in_([row.hook for row in rows]))
    if rows:
        connection.execute(taken.values(lease=lease, leased_until=until))
    return [LeasedWebhook(**row._mapping, lease=lease) for row in rows]


def _waits(now: int, held: Collection[str], slow: bool) -> sa.ColumnElement[bool]:
    free = sa.and_(_ROW.due <= now, _ROW.leased_until <= now, _ROW.hook.not_in(held))
    return sa.and_(_IS_DUE, free, _ROW.slow.is_(slow))


def correct_times(connection: sa.Connection, now: int, most: int, longest: int) -> None:
    """Makes webhooks due whose times were stored while a clock was ahead. A correct time is at most `most` after now,
    or `longest` if the webhook waits for another attempt."""
    latest = sa.case((_ROW.attempts > 0, now + longest), else_=now + most)
    wrong = sa.or_(_ROW.due > latest, _ROW.leased_until > now + most)
    connection.execute(sa.update(outgoing_webhook).where(wrong).values(due=now, lease="", leased_until=0))


def advance(connection: sa.Connection, leased: LeasedWebhook, index: int) -> bool:
    """Note that the message `index` is delivered. Returns whether the turn may continue: the webhook exists, this
    process still has the lease, and the maker manages the group."""
    delivered = {"next": index + 1, "attempts": 0, "failing_since": 0, "error": ""}
    is_kept = connection.execute(_update(leased).values(**delivered)).rowcount > 0
    going_on = sa.select(sa.literal(1)).where(_ROW.hook == leased.hook, _IS_MANAGED)
    return is_kept and connection.execute(going_on).first() is not None


def release(connection: sa.Connection, leased: LeasedWebhook, due: int) -> None:
    """Ends the lease. The webhook can be leased again from `due` (Unix ms) on. If the last attempt has failed, no other
    was made, so the time until `due` is no time of failure."""
    since = sa.case((_ROW.failing_since > 0, _ROW.failing_since + due - _ROW.due), else_=0)
    connection.execute(_update(leased).values(due=due, failing_since=since, slow=leased.slow, lease="", leased_until=0))


def fail(connection: sa.Connection, leased: LeasedWebhook, error: str, since: int, due: int) -> None:
    """Notes that an attempt has failed. `since`: the new time `failing_since`. The next attempt is at `due` (Unix
    ms)."""
    failed = {
        "attempts": leased.attempts + 1, "failing_since": since, "error": error, "due": due, "slow": leased.slow
    }  # fmt: skip
    connection.execute(_update(leased).values(**failed, lease="", leased_until=0))


def stop(connection: sa.Connection, leased: LeasedWebhook, error: str) -> None:
    connection.execute(_update(leased).values(stopped=True, error=error, lease="", leased_until=0))


def count(connection: sa.Connection) -> tuple[int, int]:
    """The number of webhooks whose last attempt failed, and the number of stopped webhooks."""
    failing = sa.func.sum(sa.case((sa.and_(_ROW.attempts > 0, _ROW.stopped.is_(False)), 1), else_=0))
    stopped = sa.func.sum(sa.case((_ROW.stopped.is_(True), 1), else_=0))
    row = connection.execute(sa.select(failing, stopped)).one()
    return int(row[0] or 0), int(row[1] or 0)


def _update(leased: LeasedWebhook) -> sa.Update:
    return sa.update(outgoing_webhook).where(_ROW.hook == leased.hook, _ROW.lease == leased.lease)
