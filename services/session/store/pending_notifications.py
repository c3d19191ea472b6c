"""Notifications stored until a client confirms them: answers to requests, new members of one's groups, groups that the
account was added to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from services.session.store.sql import slices
from services.session.tables import pending_notification, profile
from shared.contract.edge import FriendshipAnswered, MembershipAnswered
from shared.contract.ids import AccountId
from shared.contract.model import Chat
from shared.contract.session import PendingNotice

StoredNotice = FriendshipAnswered | MembershipAnswered
N = TypeVar("N", FriendshipAnswered, MembershipAnswered)

_PER_ACCOUNT = 1_000
_RETENTION_MS = 90 * 24 * 3600 * 1000


def store(connection: sa.Connection, accounts: Sequence[AccountId], notice: N, now: int) -> N:
    """Store the notice for each account. Returns it with the numbers it is stored by."""
    return msgspec.structs.replace(notice, kept=_insert(connection, dict.fromkeys(accounts, notice), now))


def store_added(
    connection: sa.Connection, accounts: Iterable[AccountId], group: Chat, now: int
) -> dict[AccountId, int]:
    """Store for each account that it was added to the group. Returns the numbers by account."""
    added = [
        MembershipAnswered(group.id, group.name, account, accepted=True, version=group.version) for account in accounts
    ]
    return _insert(connection, {one.account: one for one in added}, now)


def _insert(connection: sa.Connection, notices: Mapping[AccountId, StoredNotice], now: int) -> dict[AccountId, int]:
    """Insert, and delete the accounts' expired and excess notifications."""
    numbers: dict[AccountId, int] = {}
    pack = msgspec.msgpack.encode
    for some in slices(list(notices)):
        rows = [{"account": account, "notice": pack(notices[account]), "created": now} for account in some]
        insertion = sa.insert(pending_notification)
        inserted = connection.execute(
            insertion.returning(pending_notification.c.account, pending_notification.c.number), rows
        )
        numbers |= {AccountId(row.account): row.number for row in inserted}
        _delete_expired(connection, some, now)
    return numbers


def list_pending(connection: sa.Connection, account: AccountId, now: int) -> list[PendingNotice]:
    """Oldest first."""
    own = sa.select(pending_notification.c.number, pending_notification.c.notice).where(
        pending_notification.c.account == account, pending_notification.c.created > now - _RETENTION_MS
    )
    rows = connection.execute(own.order_by(pending_notification.c.number.desc()).limit(_PER_ACCOUNT)).all()
    return [PendingNotice(row.number, row.notice) for row in reversed(rows)]


def delete(connection: sa.Connection, account: AccountId, numbers: Sequence[int]) -> None:
    for some in slices(numbers):
        own = pending_notification.c.account == account
        connection.execute(sa.delete(pending_notification).where(own, pending_notification.c.number.in_(some)))


def _delete_expired(connection: sa.Connection, accounts: Sequence[AccountId], now: int) -> None:
    """Delete the accounts' notifications that are too old, or more than allowed. Each account has a new row. The bounds
    come from the index, not from reading all rows."""
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
