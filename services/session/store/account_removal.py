"""How a deleted account leaves its chats, a number of them in each transaction."""

from collections import defaultdict
from itertools import accumulate
from typing import NamedTuple

import sqlalchemy as sa

from services.session.domain import LOBBY, Candidate, heir
from services.session.store.sql import LIVE, later, touch
from services.session.tables import chat, member, profile
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Role

_CHATS = 100
_MEMBERS = 100_000
"""Of the chats left in one transaction, together; one chat may be larger."""


class Departure(NamedTuple):
    """A chat that the account is no member of any more. `heir` owns it now, unless it is NOBODY, and sees it from
    `first_index` on. `members`: who is still there; None when they are many, and in the lobby."""

    chat: ChatId
    version: int
    heir: AccountId
    first_index: int
    members: list[AccountId] | None


def end_memberships(connection: sa.Connection, account: AccountId, now: int, many: int) -> list[Departure]:
    """Leave some chats; empty when there is none left. From `many` members on, they are not listed."""
    left = _lock(connection, account)
    numbers = [row.id for row in left]
    heirs = _heirs(connection, account, [row.id for row in left if row.owner == account])
    connection.execute(
        sa.update(chat)
        .where(chat.c.id.in_(numbers))
        .values(
            version=chat.c.version + 1,
            size=chat.c.size - 1,
            owner=sa.case((chat.c.owner == account, NO_ACCOUNT), else_=chat.c.owner),
            updated=later(chat.c.updated, now),
        )
    )
    version = sa.select(chat.c.version).where(chat.c.id == member.c.chat).scalar_subquery()
    mine = sa.and_(member.c.account == account, member.c.chat.in_(numbers))
    connection.execute(sa.update(member).where(mine).values(role=Role.LEFT, version=version))
    _pass_on(connection, heirs)
    _touch_others(connection, numbers, now)
    told = _members(connection, [row.id for row in left if row.size <= many and row.id != LOBBY])
    return [Departure(row.id, row.version + 1, *heirs.get(row.id, (NO_ACCOUNT, 0)), told.get(row.id)) for row in left]


def versions_left(connection: sa.Connection, account: AccountId) -> dict[ChatId, int]:
    """The versions of all chats that the account has ever left."""
    rows = connection.execute(
        sa.select(chat.c.id, chat.c.version).join(member).where(member.c.account == account, member.c.role == Role.LEFT)
    )
    return {ChatId(row.id): row.version for row in rows}


class _Left(NamedTuple):
    id: ChatId
    owner: AccountId
    version: int
    size: int


def _lock(connection: sa.Connection, account: AccountId) -> list[_Left]:
    """Some chats that the account is in, locked; as they were before. Another erasure may be faster."""
    while numbers := _next(connection, account):
        locked = sa.select(chat.c.id, chat.c.owner, chat.c.version, chat.c.size).where(chat.c.id.in_(numbers))
        rows = connection.execute(locked.order_by(chat.c.id).with_for_update(key_share=True)).all()
        still = sa.select(member.c.chat).where(member.c.account == account, member.c.chat.in_(numbers), LIVE)
        mine = set(connection.execute(still).scalars())
        if mine:
            return [_Left(*row) for row in rows if row.id in mine]
    return []


def _next(connection: sa.Connection, account: AccountId) -> list[ChatId]:
    """As many chats as fit into one transaction, at least one if there is any."""
    chats = sa.select(chat.c.id, chat.c.size).join(member).where(member.c.account == account, LIVE)
    rows = connection.execute(chats.order_by(chat.c.id).limit(_CHATS)).all()
    sums = accumulate(0 if row.id == LOBBY else row.size for row in rows)
    fitting = sum(total <= _MEMBERS for total in sums)
    return [row.id for row in rows[: max(fitting, 1)]]


def _heirs(connection: sa.Connection, account: AccountId, owned: list[ChatId]) -> dict[ChatId, tuple[AccountId, int]]:
    """Who inherits each of these chats, as far as somebody is left, and the first index each may see."""
    place = sa.func.row_number().over(partition_by=(member.c.chat, member.c.role), order_by=member.c.seat)
    ranked = (
        sa.select(member, place.label("place"))
        .where(member.c.chat.in_(owned), member.c.account != account, LIVE)
        .subquery()
    )
    candidates: dict[ChatId, dict[Candidate, int]] = defaultdict(dict)
    for row in connection.execute(sa.select(ranked).where(ranked.c.place == 1)):
        candidates[row.chat][Candidate(row.account, Role(row.role), row.seat)] = row.first_index
    return {number: (best.account, those[best]) for number, those in candidates.items() if (best := heir(those))}


def _pass_on(connection: sa.Connection, heirs: dict[ChatId, tuple[AccountId, int]]) -> None:
    """The versions have moved already."""
    changes = [{"number": number, "heir": account} for number, (account, _) in heirs.items()]
    if not changes:
        return
    number: sa.BindParameter[int] = sa.bindparam("number")
    account: sa.BindParameter[int] = sa.bindparam("heir")
    version = sa.select(chat.c.version).where(chat.c.id == number).scalar_subquery()
    connection.execute(sa.update(chat).where(chat.c.id == number).values(owner=account), changes)
    inherits = sa.and_(member.c.chat == number, member.c.account == account)
    connection.execute(sa.update(member).where(inherits).values(role=Role.OWNER, version=version), changes)


def _touch_others(connection: sa.Connection, numbers: list[ChatId], now: int) -> None:
    """The chats of those who stay have changed; who comes and goes in the lobby is nobody's concern."""
    stay = sa.select(member.c.account).where(member.c.chat.in_([n for n in numbers if n != LOBBY]), LIVE)
    lock = sa.select(profile.c.id).where(profile.c.id.in_(stay)).order_by(profile.c.id)
    touch(connection, connection.execute(lock.with_for_update(key_share=True)).scalars().all(), now)


def _members(connection: sa.Connection, numbers: list[ChatId]) -> dict[ChatId, list[AccountId]]:
    members: dict[ChatId, list[AccountId]] = {number: [] for number in numbers}
    for row in connection.execute(sa.select(member.c.chat, member.c.account).where(member.c.chat.in_(numbers), LIVE)):
        members[row.chat].append(row.account)
    return members
