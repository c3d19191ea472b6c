"""Notices that are kept until a dialect has shown them: answers to requests, new members of one's groups, groups that
one was put into."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from services.session.store.sql import slices
from services.session.tables import kept, profile
from shared.contract.edge import FriendshipAnswered, MembershipAnswered
from shared.contract.ids import AccountId
from shared.contract.model import Chat
from shared.contract.session import PendingNotice

Answer = FriendshipAnswered | MembershipAnswered
Answered = TypeVar("Answered", FriendshipAnswered, MembershipAnswered)

_MOST = 1_000
"""For one account."""
_KEPT_MS = 90 * 24 * 3600 * 1000


def keep(connection: sa.Connection, accounts: Sequence[AccountId], notice: Answered, now: int) -> Answered:
    """The notice with the numbers by which it is kept."""
    return msgspec.structs.replace(notice, kept=_keep(connection, dict.fromkeys(accounts, notice), now))


def keep_entrances(
    connection: sa.Connection, accounts: Iterable[AccountId], group: Chat, now: int
) -> dict[AccountId, int]:
    """For each of them, that it was put into the group; by which numbers."""
    entered = {account: MembershipAnswered(group.id, group.name, account, accepted=True) for account in accounts}
    return _keep(connection, entered, now)


def _keep(connection: sa.Connection, notices: Mapping[AccountId, Answer], now: int) -> dict[AccountId, int]:
    """What is too old, or too much, is forgotten."""
    numbers: dict[AccountId, int] = {}
    pack = msgspec.msgpack.encode
    for some in slices(list(notices)):
        rows = [{"account": account, "notice": pack(notices[account]), "created": now} for account in some]
        made = connection.execute(sa.insert(kept).returning(kept.c.account, kept.c.number), rows)
        numbers |= {AccountId(row.account): row.number for row in made}
        _forget_old(connection, some, now)
    return numbers


def kept_for(connection: sa.Connection, account: AccountId, now: int) -> list[PendingNotice]:
    """Oldest first."""
    mine = sa.select(kept.c.number, kept.c.notice).where(kept.c.account == account, kept.c.created > now - _KEPT_MS)
    rows = connection.execute(mine.order_by(kept.c.number.desc()).limit(_MOST)).all()
    return [PendingNotice(row.number, row.notice) for row in reversed(rows)]


def drop(connection: sa.Connection, account: AccountId, numbers: Sequence[int]) -> None:
    for some in slices(numbers):
        connection.execute(sa.delete(kept).where(kept.c.account == account, kept.c.number.in_(some)))


def _forget_old(connection: sa.Connection, accounts: Sequence[AccountId], now: int) -> None:
    """Of these accounts, which have just been kept something. The index alone tells who has too much, or too old."""
    own = sa.select(kept.c.number).where(kept.c.account == profile.c.id)
    oldest = own.order_by(kept.c.number).limit(1).scalar_subquery()
    fresh = own.where(kept.c.created > now - _KEPT_MS).order_by(kept.c.number).limit(1).scalar_subquery()
    most = own.order_by(kept.c.number.desc()).limit(1).offset(_MOST - 1).scalar_subquery()
    first = sa.select(profile.c.id, oldest, fresh, most).where(profile.c.id.in_(accounts))
    old = [
        {"owner": account, "kept_from": kept_from}
        for account, lowest, *bounds in connection.execute(first).all()
        if lowest < (kept_from := max(bound for bound in bounds if bound is not None))
    ]
    if old:
        mine = kept.c.account == sa.bindparam("owner")
        connection.execute(sa.delete(kept).where(mine, kept.c.number < sa.bindparam("kept_from")), old)
