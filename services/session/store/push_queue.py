"""The two queues of push notifications: chats with new messages, and devices with notifications, whose turns are in
`push_turns`. Each row is an entry of a queue. A process leases some rows for a time. If the process ends, another
process takes these rows after that time."""

from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from services.session.domain import LOBBY
from services.session.push_rules import LIFETIME_MS, ChatNature, Notified
from services.session.store.sql import IS_MEMBER, SLICE, slices
from services.session.store.subscriptions import lock_devices
from services.session.tables import block, chat, member, own_settings
from services.session.tables.push import push_chat, push_notification, push_subscription
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind
from shared.contract.own_settings import OwnSettings
from shared.contract.push import MAIL
from shared.contract.session import MemberSettings
from shared.sql import insert

T = TypeVar("T")

_DEVICES = push_subscription.c
_CHATS = push_chat.c
_SHOWN = push_notification.c
_OWN = tuple(own_settings.c[field] for field in OwnSettings.__struct_fields__)
_MEMBER = (member.c.muted_until, member.c.mentions_only, member.c.pinned, member.c.archived)
WAITS = sa.text("push_notification.waiting > 0")
"""This condition contains no parameter. Otherwise, SQLite would not use the partial index."""
UNDECIDED = -1
"""The value of `done` while nothing was decided about a chat yet."""


# Chats


def has_devices(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(sa.literal(1)).select_from(push_subscription).limit(1)).first() is not None


def note_moved(connection: sa.Connection, chats: Collection[ChatId], now: int, due: int) -> None:
    """Note that these chats have new messages. Other chats, in which no member has a device, are left out. A chat
    without a row is due at once, so that the message after which it begins to notify is decided at once."""
    has_device = sa.exists().where(member.c.chat == chat.c.id, IS_MEMBER, member.c.account == _DEVICES.account)
    for some in slices(sorted(chats)):
        notifying = connection.scalars(sa.select(chat.c.id).where(chat.c.id.in_(some), has_device)).all()
        first = {"done": UNDECIDED, "moves": 1, "moved": now, "due": now}
        rows = [{"chat": number, **first} for number in sorted(notifying)]
        if not rows:
            continue
        new = insert(connection, push_chat)
        again = {"moves": _CHATS.moves + 1, "moved": now, "due": sa.func.coalesce(_CHATS.due, due)}
        connection.execute(new.on_conflict_do_update(index_elements=["chat"], set_=again), rows)


class DueChat(NamedTuple):
    chat: ChatId
    done: int
    moves: int


def take_chats(connection: sa.Connection, now: int, until: int, limit: int, most_members: int) -> list[DueChat]:
    """Takes the chats that have waited longest for a decision: one chat, or several chats with at most `most_members`
    members together. No other process takes them before `until`."""
    due = sa.select(_CHATS.chat, _CHATS.done, _CHATS.moves).where(_CHATS.due <= now).order_by(_CHATS.due).limit(limit)
    waiting = [DueChat(*row) for row in connection.execute(due.with_for_update(skip_locked=True))]
    size = sa.select(chat.c.id, chat.c.size).where(chat.c.id.in_([one.chat for one in waiting]))
    sizes: dict[int, int] = dict(connection.execute(size).all()) if waiting else {}
    found = first_within(waiting, [sizes.get(one.chat, 0) for one in waiting], most_members)
    taken = sa.update(push_chat).where(_CHATS.chat.in_([one.chat for one in found]))
    if found:
        connection.execute(taken.values(due=until))
    return found


def first_within(waiting: Sequence[T], sizes: Iterable[int], most: int) -> list[T]:
    """The first one, and those after it whose sizes together are at most `most`."""
    totals = accumulate(sizes)
    return [one for one, total in zip(waiting, totals, strict=True) if one is waiting[0] or total <= most]


class NotifyingMember(NamedTuple):
    """A member with a device. `unread_from`: the first index that may be unread."""

    account: AccountId
    unread_from: int
    since: int
    own: OwnSettings
    settings: MemberSettings


class NotifyingChat(NamedTuple):
    nature: ChatNature
    members: list[NotifyingMember]


def notifying(
    connection: sa.Connection, chats: Collection[ChatId], among: Collection[AccountId] | None = None
) -> dict[ChatId, NotifyingChat]:
    """The members of these chats that have devices. If `among` is given, other accounts are left out. A row for each
    device lets SQLite find the devices of each member in an index."""
    rows = sa.select(
        chat.c.id, chat.c.kind, member.c.account, sa.func.coalesce(member.c.unread_from, member.c.first_index),
        _DEVICES.created, *_MEMBER, *_OWN,
    ).select_from(
        sa.join(member, chat, chat.c.id == member.c.chat)
        .join(push_subscription, _DEVICES.account == member.c.account)
        .outerjoin(own_settings, own_settings.c.account == member.c.account)
    ).where(member.c.chat.in_(chats), IS_MEMBER)  # fmt: skip
    if among is not None and len(among) <= SLICE:
        rows = rows.where(member.c.account.in_(among))
    found: dict[tuple[ChatId, AccountId], NotifyingMember] = {}
    natures: dict[ChatId, ChatNature] = {}
    for number, kind, account, unread_from, created, *more in connection.execute(rows):
        key = ChatId(number), AccountId(account)
        if key in found:
            found[key] = found[key]._replace(since=min(found[key].since, created))
            continue
        natures[key[0]] = ChatNature(kind != ChatKind.GROUP and number != LOBBY, number == LOBBY)
        own = OwnSettings() if more[4] is None else OwnSettings(*more[4:])
        found[key] = NotifyingMember(key[1], unread_from, created, own, MemberSettings(*more[:4]))
    result = {number: NotifyingChat(nature, []) for number, nature in natures.items()}
    for (number, _), one in found.items():
        result[number].members.append(one)
    return result


def blocked_by(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, frozenset[AccountId]]:
    found: dict[AccountId, set[AccountId]] = {}
    for some in slices(accounts):
        for account, blocked in connection.execute(
            sa.select(block.c.account, block.c.blocked).where(block.c.account.in_(some))
        ):
            found.setdefault(AccountId(account), set()).add(AccountId(blocked))
    return {account: frozenset(blocked) for account, blocked in found.items()}


def store_notified(connection: sa.Connection, one: DueChat, notified: Sequence[Notified], now: int) -> None:
    """Stores notifications for the devices of these accounts. Nothing happens if another process has decided about the
    chat since it was taken."""
    same = sa.select(_CHATS.chat).where(_CHATS.chat == one.chat, _CHATS.done == one.done)
    if connection.execute(same.with_for_update()).first() is not None:
        _add(connection, one.chat, notified, now)


def finish_chat(
    connection: sa.Connection, one: DueChat, done: int, due: int | None, notified: Sequence[Notified], now: int
) -> None:
    """Like `store_notified`, and notes in the same transaction that messages up to `done` are decided. If the chat has
    got further messages meanwhile, it is due now."""
    later = sa.case((_CHATS.moves == one.moves, due), else_=now)
    row = sa.update(push_chat).where(_CHATS.chat == one.chat, _CHATS.done == one.done)
    if connection.execute(row.values(done=done, due=later)).rowcount and notified:
        _add(connection, one.chat, notified, now)


def _add(connection: sa.Connection, number: ChatId, notified: Sequence[Notified], now: int) -> None:
    by_account = {one.account: one for one in notified}
    of_device = _DEVICES.id, _DEVICES.account, _DEVICES.created, (_DEVICES.kind == MAIL).label("is_mail")
    held = sa.select(*of_device).where(_DEVICES.account.in_(by_account)).order_by(_DEVICES.id)
    devices = connection.execute(held.with_for_update(read=True, key_share=True)).all()  # the lock keeps these rows
    by_push = {row.account for row in devices if not row.is_mail}
    rows = [
        {"subscription": row.id, "chat": number, "shown": 0, "waiting": one.upto, "urgent": one.urgent}
        for row in devices
        if ((one := by_account[row.account]).time >= row.created or row.created > now)
        and not (row.is_mail and row.account in by_push)
    ]
    if not rows:
        return
    new = insert(connection, push_notification)
    is_newer = sa.and_(new.excluded.waiting > _SHOWN.shown, new.excluded.waiting > _SHOWN.waiting)
    urgent = sa.or_(new.excluded.urgent, sa.and_(_SHOWN.urgent, _SHOWN.waiting > 0))
    again = {"waiting": new.excluded.waiting, "urgent": urgent}
    key = ["subscription", "chat"]
    connection.execute(new.on_conflict_do_update(index_elements=key, set_=again, where=is_newer), rows)


def correct_times(connection: sa.Connection, now: int, most: int) -> None:
    """Correct the times that were stored while a clock was ahead. A correct time is at most `most` after now, so rows
    with a later time become due."""
    connection.execute(sa.update(push_chat).where(_CHATS.due > now + most).values(due=now))
    is_waiting = _DEVICES.id.in_(sa.select(_SHOWN.subscription).where(WAITS))
    wrong = sa.update(push_subscription).where(_DEVICES.leased_until > now + most, is_waiting)
    connection.execute(wrong.values(due=now, lease="", leased_until=now))


def forget(connection: sa.Connection, now: int) -> None:
    """Delete chats without new messages for so long that none of their messages can notify any more."""
    connection.execute(sa.delete(push_chat).where(_CHATS.moved < now - LIFETIME_MS, _CHATS.due.is_(None)))


# Devices


def remove(connection: sa.Connection, devices: Collection[int], now: int) -> None:
    """Remove devices. If an account has no other device, the notifications that waited for the removed device are sent
    by mail."""
    accounts = sa.select(_DEVICES.account).where(_DEVICES.id.in_(devices))
    lock_devices(connection, _DEVICES.account.in_(accounts))
    waiting = sa.select(_DEVICES.account, _SHOWN.chat, _SHOWN.waiting, _SHOWN.urgent).where(
        _SHOWN.subscription == _DEVICES.id, _DEVICES.id.in_(devices), _SHOWN.waiting > 0
    )
    left = connection.execute(waiting.order_by(_SHOWN.chat)).all()
    connection.execute(sa.delete(push_subscription).where(_DEVICES.id.in_(devices)))
    for account, number, upto, urgent in left:
        _add(connection, number, [Notified(account, upto, now, urgent)], now)


def remove_of_logins(connection: sa.Connection, account: AccountId, sids: Collection[str], now: int) -> None:
    held = sa.select(_DEVICES.id).where(_DEVICES.account == account, _DEVICES.sid.in_(sids))
    remove(connection, connection.scalars(held).all(), now)
