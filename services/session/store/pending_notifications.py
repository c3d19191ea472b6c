"""Notifications stored until a client confirms them: answers to requests, new members of the account's groups, and
groups that the account was added to."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from services.session.store.sql import slices
from services.session.tables import pending_notification, profile
from shared.contract.contacts import PendingEvent
from shared.contract.edge import FriendshipAnswered, MembershipAnswered
from shared.contract.ids import AccountId
from shared.contract.model import Chat

N = TypeVar("N", FriendshipAnswered, MembershipAnswered)

_PER_ACCOUNT = 1_000
_RETENTION_MS = 90 * 24 * 3600 * 1000


def store(connection: sa.Connection, accounts: Sequence[AccountId], event: N, now: int) -> N:
    """Store the event for each account. Returns the event with the numbers under which it is stored."""
    (stored,) = store_several(connection, accounts, [event], now)
    return stored


def store_several(connection: sa.Connection, accounts: Sequence[AccountId], events: Iterable[N], now: int) -> list[N]:
    """Store several different events for each account, in this order. See `store`."""
    packed = [(event, msgspec.msgpack.encode(event)) for event in events]
    numbers = _insert(connection, [(account, content) for _, content in packed for account in accounts], now)
    return [
        msgspec.structs.replace(event, kept={account: numbers[account, content] for account in accounts})
        for event, content in packed
    ]


def store_each(connection: sa.Connection, answers: Iterable[MembershipAnswered], now: int) -> list[MembershipAnswered]:
    """Store each event for the account that it is about. See `store`."""
    packed = [(one, msgspec.msgpack.encode(one)) for one in answers]
    numbers = _insert(connection, [(one.account, content) for one, content in packed], now)
    return [msgspec.structs.replace(one, kept={one.account: numbers[one.account, content]}) for one, content in packed]


def store_added(
    connection: sa.Connection, accounts: Iterable[AccountId], group: Chat, now: int
) -> dict[AccountId, int]:
    """Store for each account that it was added to the group. Returns the numbers by account."""
    added = [
        MembershipAnswered(group.id, group.name, account, accepted=True, version=group.version) for account in accounts
    ]
    return {one.account: one.kept[one.account] for one in store_each(connection, added, now)}


def _insert(
    connection: sa.Connection, events: Sequence[tuple[AccountId, bytes]], now: int
) -> dict[tuple[AccountId, bytes], int]:
    """Insert packed events, and delete the accounts' expired and excess notifications."""
    numbers: dict[tuple[AccountId, bytes], int] = {}
    returned = [pending_notification.c[name] for name in ("account", "notice", "number")]
    for some in slices(events):
        rows = [{"account": account, "notice": content, "created": now} for account, content in some]
        for row in connection.execute(sa.insert(pending_notification).returning(*returned), rows):
            numbers[AccountId(row.account), bytes(row.notice)] = row.number
    for accounts in slices(list(dict.fromkeys(account for account, _ in events))):
        _delete_expired(connection, accounts, now)
    return numbers


def list_pending(connection: sa.Connection, account: AccountId, now: int) -> list[PendingEvent]:
    """The notifications of the account, oldest first."""
    own = sa.select(pending_notification.c.number, pending_notification.c.notice).where(
        pending_notification.c.account == account, pending_notification.c.created > now - _RETENTION_MS
    )
    rows = connection.execute(own.order_by(pending_notification.c.number.desc()).limit(_PER_ACCOUNT)).all()
    return [PendingEvent(row.number, row.notice) for row in reversed(rows)]


def delete(connection: sa.Connection, account: AccountId, numbers: Sequence[int]) -> None:
    for some in slices(numbers):
        own = pending_notification.c.account == account
        connection.execute(sa.delete(pending_notification).where(own, pending_notification.c.number.in_(some)))


def _delete_expired(connection: sa.Connection, accounts: Sequence[AccountId], now: int) -> None:
    """Delete the accounts' oldest notifications: those that are too old, and those above the limit for an account. Each
    account has just got new rows. The query finds the limits in the index, without reading all rows."""
    number = pending_notification.c.number
    own = sa.select(number).where(pending_notification.c.account == profile.c.id)
    oldest = own.order_by(number).limit(1).scalar_subquery()
    fresh = own.where(pending_notification.c.created > now - _RETENTION_MS).order_by(number).limit(1).scalar_subquery()
    most = own.order_by(number.desc()).limit(1).offset(_PER_ACCOUNT - 1).scalar_subquery()
    bounds_of = sa.select(profile.c.id, oldest, fresh, most).where(profile.c.id.in_(accounts))
    expired = [
        {"owner": account, "first_valid": first_valid}
        for account, lowest, *bounds in connection.execute(bounds_of).all()
        if lowest < (first_valid := max(bound for bound in bounds if bound is not None))
    ]
    if expired:
        own_rows = pending_notification.c.account == sa.bindparam("owner")
        connection.execute(
            sa.delete(pending_notification).where(own_rows, number < sa.bindparam("first_valid")), expired
        )
