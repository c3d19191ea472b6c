"""The turns of devices in the queue of notifications. Each transaction takes, reads or notes many devices, because a
transaction for each device would be most of the work of a notification."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.session.push_rules import ChatNature
from services.session.store import masks
from services.session.store.push_queue import WAITS, NotifyingMember, blocked_by, first_within, notifying
from services.session.store.subscriptions import DEVICE, PushDevice, lock_devices, note_accepted, note_idle
from services.session.tables import chat, profile
from services.session.tables.push import push_notification, push_subscription
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind
from shared.irc_names import channel_name

_DEVICES = push_subscription.c
_SHOWN = push_notification.c
_MOST_LEFT_OUT = 500
_MOST_ROWS = 500
"""The most notifications, shown and waiting, of the devices that are taken in one step, unless a single device has
more."""


class QueuedDevice(NamedTuple):
    """A device for which a notification waits. `origin`: its push service."""

    id: int
    origin: str


def find_devices(connection: sa.Connection, now: int, closed: Sequence[str], most: int) -> list[QueuedDevice]:
    """At most `most` devices that can be taken: first those for which a private message or a mention waits, then those
    that have waited longest for a notification. Devices of `closed`, of which the first 500 count, are left out. The
    work grows with the number of waiting notifications, and one search is for many steps."""
    others = _DEVICES.origin.not_in(closed[:_MOST_LEFT_OUT])
    waiting = sa.join(push_notification, push_subscription, _DEVICES.id == _SHOWN.subscription)
    free = sa.and_(WAITS, _DEVICES.due <= now, _DEVICES.leased_until <= now, others)
    rows = sa.select(_DEVICES.id, _DEVICES.origin).select_from(waiting).where(free)
    ordered = rows.order_by(_SHOWN.urgent.desc(), _DEVICES.due, _DEVICES.id).limit(most)
    return [*dict.fromkeys(QueuedDevice(*row) for row in connection.execute(ordered))]


def take_devices(connection: sa.Connection, found: Sequence[int], now: int, lease: str, until: int) -> list[PushDevice]:
    """Takes those of the devices `found` that can still be taken. No other process notifies them before `until`."""
    places = {number: place for place, number in enumerate(found)}
    waits = sa.exists().where(_SHOWN.subscription == _DEVICES.id, WAITS)
    free = sa.and_(_DEVICES.id.in_(found), _DEVICES.due <= now, _DEVICES.leased_until <= now, waits)
    rows = connection.execute(sa.select(*DEVICE).where(free).with_for_update(skip_locked=True))
    waiting = sorted((PushDevice(**row._mapping) for row in rows), key=lambda one: places[one.id])
    if not waiting:
        return []
    own = _SHOWN.subscription.in_([one.id for one in waiting])
    counted = sa.select(_SHOWN.subscription, sa.func.count()).where(own).group_by(_SHOWN.subscription)
    sizes: dict[int, int] = dict(connection.execute(counted).all())
    taken = first_within(waiting, [sizes.get(one.id, 0) for one in waiting], _MOST_ROWS)
    leased = sa.update(push_subscription).where(_DEVICES.id.in_([one.id for one in taken]))
    connection.execute(leased.values(lease=lease, leased_until=until))
    return taken


class DeviceChat(NamedTuple):
    """The message of a chat that a device shows, and the message that it is to show next. Each is an index, or 0 for no
    message."""

    chat: ChatId
    shown: int
    waiting: int
    urgent: bool


class DeviceView(NamedTuple):
    """The notifications of a device, and what its account has set. `chats`: the chats of `rows` that the account has
    not left. `blocked`: the accounts that the account blocks."""

    rows: list[DeviceChat]
    chats: dict[ChatId, tuple[ChatNature, NotifyingMember]]
    blocked: frozenset[AccountId]


def view_devices(connection: sa.Connection, devices: Sequence[PushDevice]) -> dict[int, DeviceView]:
    """The views of these devices, by their numbers."""
    numbers = [one.id for one in devices]
    blocked = blocked_by(connection, sorted({one.account for one in devices}))
    found = {one.id: DeviceView([], {}, blocked.get(one.account, frozenset())) for one in devices}
    fields = _SHOWN.subscription, _SHOWN.chat, _SHOWN.shown, _SHOWN.waiting, _SHOWN.urgent
    rows = sa.select(*fields).where(_SHOWN.subscription.in_(numbers)).order_by(_SHOWN.subscription, _SHOWN.chat)
    for number, *row in connection.execute(rows):
        found[number].rows.append(DeviceChat(*row))
    chats = {row.chat for view in found.values() for row in view.rows}
    views = {
        (member.account, number): (view.nature, member)
        for number, view in notifying(connection, chats, {one.account for one in devices}).items()
        for member in view.members
    }
    for device in devices:
        for one in found[device.id].rows:
            if (view := views.get((device.account, one.chat))) is not None:
                found[device.id].chats[one.chat] = view
    return found


class Names(NamedTuple):
    """`groups`: the names of groups. Other chats are left out."""

    groups: dict[ChatId, str]
    nicknames: dict[AccountId, str]

    def of(self, number: ChatId, sender: AccountId) -> tuple[str, str]:
        """The name of the group (empty for any other chat), and the nickname of the sender."""
        return self.groups.get(number, ""), self.nicknames.get(sender) or str(sender)


def names(connection: sa.Connection, chats: Collection[ChatId], senders: Collection[AccountId]) -> Names:
    groups = sa.select(chat.c.id, chat.c.name).where(chat.c.id.in_(chats), chat.c.kind == ChatKind.GROUP)
    nicknames = sa.select(profile.c.id, profile.c.nickname).where(profile.c.id.in_(senders))
    return Names(dict(connection.execute(groups).all()), dict(connection.execute(nicknames).all()))


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


def held(connection: sa.Connection, devices: Iterable[int], lease: str, until: int) -> dict[tuple[int, ChatId], int]:
    """The notifications that the process with this lease may still send: their messages by device and chat. The lease
    must last until `until`. A notification is missing if another process has sent it, or if the device has another
    user."""
    own = sa.and_(_DEVICES.id.in_([*devices]), _DEVICES.lease == lease, _DEVICES.leased_until > until)
    waits = sa.and_(_SHOWN.subscription == _DEVICES.id, _SHOWN.waiting > 0)
    rows = connection.execute(sa.select(_SHOWN.subscription, _SHOWN.chat, _SHOWN.waiting).where(own, waits))
    return {(device, ChatId(number)): waiting for device, number, waiting in rows}


class TurnNote(NamedTuple):
    """What has happened in the turn of a device. `shown`: the push service has accepted these notifications. `dropped`:
    these notifications are not to be sent any more. `closed`: the device shows no notifications of these chats. `idle`:
    nothing waits, and earlier failures no longer count. `lease`: the turn has ended, and with it this lease. If
    notifications wait for the device, it can be taken again from `due` (Unix ms) on."""

    device: int
    shown: Sequence[DeviceChat] = ()
    dropped: Sequence[DeviceChat] = ()
    closed: Collection[ChatId] = ()
    idle: bool = False
    lease: str = ""
    due: int = 0


_AGAIN = sa.bindparam("again", type_=sa.BigInteger)
_LATER = sa.case((_DEVICES.due > _AGAIN, _DEVICES.due), else_=_AGAIN)
_RELEASE = (
    sa.update(push_subscription)
    .where(_DEVICES.id == sa.bindparam("device"), _DEVICES.lease == sa.bindparam("held"))
    .values(lease="", leased_until=sa.bindparam("now"), due=_LATER)
)
_ROW = sa.and_(_SHOWN.subscription == sa.bindparam("device"), _SHOWN.chat == sa.bindparam("number"))
_IS_SAME = _SHOWN.waiting == sa.bindparam("index")
_SHOW = sa.update(push_notification).where(_ROW).values(
    shown=sa.bindparam("index"), waiting=sa.case((_IS_SAME, 0), else_=_SHOWN.waiting)
)  # fmt: skip
_DROP = sa.update(push_notification).where(_ROW, _IS_SAME).values(waiting=0)
_CLOSE = sa.delete(push_notification).where(_ROW, _SHOWN.waiting == 0)


def note_turns(connection: sa.Connection, notes: Collection[TurnNote], now: int) -> None:
    """Notes what has happened in turns."""
    lock_devices(connection, _DEVICES.id.in_([one.device for one in notes]))
    if accepted := [one.device for one in notes if one.shown]:
        note_accepted(connection, accepted, now)
    if idle := [one.device for one in notes if one.idle]:
        note_idle(connection, idle)
    released = [{"device": one.device, "held": one.lease, "now": now, "again": one.due} for one in notes if one.lease]
    if released:
        connection.execute(_RELEASE, released)
    for statement, rows in (
        (_SHOW, [(one.device, row.chat, row.waiting) for one in notes for row in one.shown]),
        (_DROP, [(one.device, row.chat, row.waiting) for one in notes for row in one.dropped]),
    ):
        if rows:
            keys = ("device", "number", "index")
            connection.execute(statement, [dict(zip(keys, row, strict=True)) for row in rows])
    if closed := [(one.device, number) for one in notes for number in one.closed]:
        connection.execute(_CLOSE, [{"device": device, "number": number} for device, number in closed])
    if changed := [one.device for one in notes if one.shown or one.dropped or one.closed]:
        never = sa.and_(_SHOWN.shown == 0, _SHOWN.waiting == 0)
        connection.execute(sa.delete(push_notification).where(_SHOWN.subscription.in_(changed), never))
