"""The two queues of push notifications: chats with new messages, and notifications for devices. Each row is an entry of
a queue. A process leases some rows for a time. If the process ends, another process takes these rows after that
time."""

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import sqlalchemy as sa

from services.session.domain import LOBBY
from services.session.push_rules import LIFETIME_MS, ChatNature, Notified
from services.session.store import masks
from services.session.store.sql import IS_MEMBER, SLICE, insert, slices
from services.session.store.subscriptions import DEVICE, PushDevice, note_accepted
from services.session.tables import (
    block,
    chat,
    member,
    own_settings,
    profile,
)
from services.session.tables.push import push_chat, push_notification, push_subscription
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind
from shared.contract.own_settings import OwnSettings
from shared.contract.push import MAIL
from shared.contract.session import MemberSettings
from shared.irc_names import channel_name

_DEVICES = push_subscription.c
_CHATS = push_chat.c
_SHOWN = push_notification.c
_OWN = tuple(own_settings.c[field] for field in OwnSettings.__struct_fields__)
_MEMBER = (member.c.muted_until, member.c.mentions_only, member.c.pinned, member.c.archived)
_IS_WAITING = _DEVICES.id.in_(sa.select(_SHOWN.subscription).where(sa.text("push_notification.waiting > 0")))
"""This condition contains no parameter. Otherwise, SQLite would not use the partial index."""
_MOST_LEFT_OUT = 500
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
    totals = accumulate(sizes.get(one.chat, 0) for one in waiting)
    found = [one for one, total in zip(waiting, totals, strict=True) if one is waiting[0] or total <= most_members]
    taken = sa.update(push_chat).where(_CHATS.chat.in_([one.chat for one in found]))
    if found:
        connection.execute(taken.values(due=until))
    return found


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
    """The members of these chats that have devices. If `among` is given, other accounts are left out."""
    if among is not None and len(among) > SLICE:
        among = None
    since = sa.select(_DEVICES.account, sa.func.min(_DEVICES.created).label("since")).group_by(_DEVICES.account)
    found = since.subquery()
    rows = sa.select(
        chat.c.id, chat.c.kind, member.c.account, sa.func.coalesce(member.c.unread_from, member.c.first_index),
        found.c.since, *_MEMBER, *_OWN,
    ).select_from(
        sa.join(member, chat, chat.c.id == member.c.chat)
        .join(found, found.c.account == member.c.account)
        .outerjoin(own_settings, own_settings.c.account == member.c.account)
    ).where(member.c.chat.in_(chats), IS_MEMBER)  # fmt: skip
    if among is not None:
        rows = rows.where(member.c.account.in_(among))
    result: dict[ChatId, NotifyingChat] = {}
    for number, kind, account, unread_from, subscribed, *more in connection.execute(rows):
        nature = ChatNature(kind != ChatKind.GROUP and number != LOBBY, number == LOBBY)
        own = OwnSettings() if more[4] is None else OwnSettings(*more[4:])
        one = NotifyingMember(AccountId(account), unread_from, subscribed, own, MemberSettings(*more[:4]))
        result.setdefault(ChatId(number), NotifyingChat(nature, [])).members.append(one)
    return result


def blocked_by(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, frozenset[AccountId]]:
    found: dict[AccountId, set[AccountId]] = {}
    for some in slices(accounts):
        for account, blocked in connection.execute(
            sa.select(block.c.account, block.c.blocked).where(block.c.account.in_(some))
        ):
            found.setdefault(AccountId(account), set()).add(AccountId(blocked))
    return {account: frozenset(blocked) for account, blocked in found.items()}


def finish_chat(
    connection: sa.Connection, one: DueChat, done: int, due: int | None, notified: Sequence[Notified], now: int
) -> None:
    """In one transaction, notes that messages up to `done` are decided, and stores notifications for the devices of
    these accounts. If the chat has got further messages meanwhile, it is due now. Nothing happens if another process
    has decided about the chat since it was taken."""
    later = sa.case((_CHATS.moves == one.moves, due), else_=now)
    row = sa.update(push_chat).where(_CHATS.chat == one.chat, _CHATS.done == one.done)
    if not connection.execute(row.values(done=done, due=later)).rowcount:
        return
    for some in slices(sorted(notified)):
        _add(connection, one.chat, {account.account: account for account in some}, now)


def _add(connection: sa.Connection, number: ChatId, notified: Mapping[AccountId, Notified], now: int) -> None:
    of_device = _DEVICES.id, _DEVICES.account, _DEVICES.created, (_DEVICES.kind == MAIL).label("is_mail")
    held = sa.select(*of_device).where(_DEVICES.account.in_(notified)).order_by(_DEVICES.id)
    devices = connection.execute(held.with_for_update(read=True, key_share=True)).all()  # the lock keeps these rows
    by_push = {row.account for row in devices if not row.is_mail}
    rows = [
        {"subscription": row.id, "chat": number, "shown": 0, "waiting": one.upto, "urgent": one.urgent}
        for row in devices
        if ((one := notified[row.account]).time >= row.created or row.created > now)
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
    wrong = sa.update(push_subscription).where(_DEVICES.leased_until > now + most, _IS_WAITING)
    connection.execute(wrong.values(due=now, lease="", leased_until=now))


def forget(connection: sa.Connection, now: int) -> None:
    """Delete chats without new messages for so long that none of their messages can notify any more."""
    connection.execute(sa.delete(push_chat).where(_CHATS.moved < now - LIFETIME_MS, _CHATS.due.is_(None)))


# Devices


def remove(connection: sa.Connection, devices: Collection[int], now: int) -> None:
    """Remove devices. If an account has no other device, the notifications that waited for the removed device are sent
    by mail."""
    waiting = sa.select(_DEVICES.account, _SHOWN.chat, _SHOWN.waiting, _SHOWN.urgent).where(
        _SHOWN.subscription == _DEVICES.id, _DEVICES.id.in_(devices), _SHOWN.waiting > 0
    )
    left = connection.execute(waiting.order_by(_SHOWN.chat)).all()
    connection.execute(sa.delete(push_subscription).where(_DEVICES.id.in_(devices)))
    for account, number, upto, urgent in left:
        _add(connection, number, {account: Notified(account, upto, now, urgent)}, now)


def remove_of_logins(connection: sa.Connection, account: AccountId, sids: Collection[str], now: int) -> None:
    held = sa.select(_DEVICES.id).where(_DEVICES.account == account, _DEVICES.sid.in_(sids))
    remove(connection, connection.scalars(held).all(), now)


class DevicesLeftOut(NamedTuple):
    """The devices that are not taken: those of these push services, of which the first 500 count, and those whose turn
    has not ended."""

    origins: Sequence[str] = ()
    devices: Collection[int] = ()


def take_devices(
    connection: sa.Connection, now: int, lease: str, until: int, limit: int, without: DevicesLeftOut
) -> list[PushDevice]:
    """Takes the devices that have waited longest for a notification. No other process notifies them before `until`."""
    others = sa.and_(_DEVICES.origin.not_in(without.origins[:_MOST_LEFT_OUT]), _DEVICES.id.not_in(without.devices))
    free = sa.and_(_DEVICES.due <= now, _DEVICES.leased_until <= now, others, _IS_WAITING)
    due = sa.select(*DEVICE).where(free).order_by(_DEVICES.due, _DEVICES.id).limit(limit)
    found = [PushDevice(**row._mapping) for row in connection.execute(due.with_for_update(skip_locked=True))]
    if found:
        taken = sa.update(push_subscription).where(_DEVICES.id.in_([one.id for one in found]))
        connection.execute(taken.values(lease=lease, leased_until=until))
    return found


def release(connection: sa.Connection, device: int, lease: str, now: int, due: int) -> None:
    """Ends the lease. If notifications wait for the device, it can be taken again from `due` (Unix ms) on."""
    row = sa.update(push_subscription).where(_DEVICES.id == device, _DEVICES.lease == lease)
    connection.execute(
        row.values(lease="", leased_until=now, due=sa.case((_DEVICES.due > due, _DEVICES.due), else_=due))
    )


class DeviceChat(NamedTuple):
    """The message of a chat that a device shows, and the message that it is to show next. Each is an index, or 0 for no
    message."""

    chat: ChatId
    shown: int
    waiting: int
    urgent: bool


def notifications_of(connection: sa.Connection, device: int) -> list[DeviceChat]:
    rows = sa.select(_SHOWN.chat, _SHOWN.shown, _SHOWN.waiting, _SHOWN.urgent).where(_SHOWN.subscription == device)
    return [DeviceChat(*row) for row in connection.execute(rows.order_by(_SHOWN.chat))]


def is_held(connection: sa.Connection, device: int, lease: str, until: int, row: DeviceChat) -> bool:
    """Whether the process with this lease may still send the notification. The lease must last until `until`. The
    notification must still wait: no other process has sent it, and the device has no other user."""
    own = sa.and_(_DEVICES.id == device, _DEVICES.lease == lease, _DEVICES.leased_until > until)
    waits = sa.and_(_SHOWN.subscription == _DEVICES.id, _SHOWN.chat == row.chat, _SHOWN.waiting >= row.waiting)
    return connection.execute(sa.select(sa.literal(1)).where(own, waits)).first() is not None


def note_shown(
    connection: sa.Connection, device: int, rows: Collection[DeviceChat], closed: Collection[ChatId], now: int
) -> None:
    """Notes that the push service has accepted a notification, which withdraws the notifications of the chats `closed`.
    A mail has several rows."""
    own = _SHOWN.subscription == device
    for one in rows:
        waiting = sa.case((_SHOWN.waiting == one.waiting, 0), else_=_SHOWN.waiting)
        shown = sa.update(push_notification).where(own, _SHOWN.chat == one.chat)
        connection.execute(shown.values(shown=one.waiting, waiting=waiting))
    drop(connection, device, [], closed)
    note_accepted(connection, device, now)


def drop(connection: sa.Connection, device: int, read: Collection[DeviceChat], closed: Collection[ChatId]) -> None:
    """Drops the waiting notifications of the chats `read`, and notes that the device shows no notification of the chats
    `closed`."""
    own = _SHOWN.subscription == device
    for one in read:
        mine = sa.and_(own, _SHOWN.chat == one.chat, _SHOWN.waiting == one.waiting)
        connection.execute(sa.update(push_notification).where(mine).values(waiting=0))
    gone = sa.or_(_SHOWN.chat.in_(closed), _SHOWN.shown == 0)
    connection.execute(sa.delete(push_notification).where(own, gone, _SHOWN.waiting == 0))


def names(connection: sa.Connection, number: ChatId, sender: AccountId) -> tuple[str, str]:
    """The name of the group (empty for any other chat), and the nickname of the sender."""
    group = sa.select(chat.c.name).where(chat.c.id == number, chat.c.kind == ChatKind.GROUP)
    nickname = sa.select(profile.c.nickname).where(profile.c.id == sender)
    return connection.execute(group).scalar() or "", connection.execute(nickname).scalar() or str(sender)


class IrcPlace(NamedTuple):
    """The names in a line of IRC. `source`: the full name of the sender. `target`: the channel, or the nick of the
    recipient."""

    source: str
    target: str


def irc_place(connection: sa.Connection, number: ChatId, sender: AccountId, to: AccountId, server: str) -> IrcPlace:
    names = sa.select(chat.c.handle, chat.c.name).where(chat.c.id == number, chat.c.kind == ChatKind.GROUP)
    group = connection.execute(names).one_or_none()
    nick, _, _ = masks.full_name(connection, to, server).partition("!")
    target = channel_name(number, *group) if group else nick
    return IrcPlace(masks.full_name(connection, sender, server), target)
