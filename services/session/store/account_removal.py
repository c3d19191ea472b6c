"""A deleted account leaves its chats, a number of them in each transaction."""

from collections import defaultdict
from itertools import accumulate
from typing import NamedTuple

import sqlalchemy as sa

from services.session.domain import LOBBY, OwnerCandidate, next_owner
from services.session.store.sql import IS_MEMBER, later, touch
from services.session.tables import chat, friendship, member, profile
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Role

_CHATS = 100
_MEMBERS = 100_000
"""Of the chats left in one transaction, together; a single chat may have more."""


class LeftChat(NamedTuple):
    """A chat that the account has left. `next_owner` owns it now, and sees it from `first_index` on; NO_ACCOUNT: the
    owner is unchanged, or there is none. `members`: the remaining members; None in the lobby, and when there are
    many."""

    chat: ChatId
    version: int
    next_owner: AccountId
    first_index: int
    members: list[AccountId] | None


def leave_chats(connection: sa.Connection, account: AccountId, now: int, broadcast_from: int) -> list[LeftChat]:
    """Leave some chats; empty when none is left. From `broadcast_from` members on, members are not listed."""
    left = _lock_chats(connection, account)
    numbers = [row.id for row in left]
    owners = _next_owners(connection, account, [row.id for row in left if row.owner == account])
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
    own = sa.and_(member.c.account == account, member.c.chat.in_(numbers))
    connection.execute(sa.update(member).where(own).values(role=Role.LEFT, version=version))
    _transfer_ownership(connection, owners)
    _touch_remaining(connection, numbers, now)
    listed = _list_members(connection, [row.id for row in left if row.size <= broadcast_from and row.id != LOBBY])
    return [LeftChat(row.id, row.version + 1, *owners.get(row.id, (NO_ACCOUNT, 0)), listed.get(row.id)) for row in left]


def unfinished_deletions(connection: sa.Connection, accounts: list[AccountId]) -> list[AccountId]:
    """Those of the deleted accounts that still have a profile, a membership or a friendship, or that could still get
    one."""
    has_membership = sa.exists().where(member.c.account == profile.c.id, IS_MEMBER)
    has_friends = sa.exists().where(friendship.c.account == profile.c.id)
    finished = sa.select(profile.c.id).where(
        profile.c.id.in_(accounts), profile.c.deleted, ~has_membership, ~has_friends
    )
    done = set(connection.scalars(finished))
    return [account for account in accounts if account not in done]


def left_versions(connection: sa.Connection, account: AccountId) -> dict[ChatId, int]:
    """The versions of all chats that the account has ever left."""
    rows = connection.execute(
        sa.select(chat.c.id, chat.c.version).join(member).where(member.c.account == account, member.c.role == Role.LEFT)
    )
    return {ChatId(row.id): row.version for row in rows}


class _LockedChat(NamedTuple):
    id: ChatId
    owner: AccountId
    version: int
    size: int


def _lock_chats(connection: sa.Connection, account: AccountId) -> list[_LockedChat]:
    """Lock some chats of the account, and return them as they are before it leaves. A concurrent removal may have
    left some since they were selected."""
    while numbers := _next_batch(connection, account):
        locked = sa.select(chat.c.id, chat.c.owner, chat.c.version, chat.c.size).where(chat.c.id.in_(numbers))
        rows = connection.execute(locked.order_by(chat.c.id).with_for_update(key_share=True)).all()
        still = sa.select(member.c.chat).where(member.c.account == account, member.c.chat.in_(numbers), IS_MEMBER)
        own = set(connection.execute(still).scalars())
        if own:
            return [_LockedChat(*row) for row in rows if row.id in own]
    return []


def _next_batch(connection: sa.Connection, account: AccountId) -> list[ChatId]:
    """As many chats as fit into one transaction, at least one if there is any."""
    chats = sa.select(chat.c.id, chat.c.size).join(member).where(member.c.account == account, IS_MEMBER)
    rows = connection.execute(chats.order_by(chat.c.id).limit(_CHATS)).all()
    totals = accumulate(0 if row.id == LOBBY else row.size for row in rows)
    fitting = sum(total <= _MEMBERS for total in totals)
    return [row.id for row in rows[: max(fitting, 1)]]


def _next_owners(
    connection: sa.Connection, account: AccountId, owned: list[ChatId]
) -> dict[ChatId, tuple[AccountId, int]]:
    """The next owner of each of these chats that has another member, and the first index that owner sees."""
    place = sa.func.row_number().over(partition_by=(member.c.chat, member.c.role), order_by=member.c.seat)
    ranked = (
        sa.select(member, place.label("place"))
        .where(member.c.chat.in_(owned), member.c.account != account, IS_MEMBER)
        .subquery()
    )
    candidates: dict[ChatId, dict[OwnerCandidate, int]] = defaultdict(dict)
    for row in connection.execute(sa.select(ranked).where(ranked.c.place == 1)):
        candidates[row.chat][OwnerCandidate(row.account, Role(row.role), row.seat)] = row.first_index
    return {
        number: (best.account, indexes[best]) for number, indexes in candidates.items() if (best := next_owner(indexes))
    }


def _transfer_ownership(connection: sa.Connection, owners: dict[ChatId, tuple[AccountId, int]]) -> None:
    """The chats' versions are already incremented."""
    changes = [{"number": number, "next_owner": account} for number, (account, _) in owners.items()]
    if not changes:
        return
    number: sa.BindParameter[int] = sa.bindparam("number")
    account: sa.BindParameter[int] = sa.bindparam("next_owner")
    version = sa.select(chat.c.version).where(chat.c.id == number).scalar_subquery()
    connection.execute(sa.update(chat).where(chat.c.id == number).values(owner=account), changes)
    owner_row = sa.and_(member.c.chat == number, member.c.account == account)
    connection.execute(sa.update(member).where(owner_row).values(role=Role.OWNER, version=version), changes)


def _touch_remaining(connection: sa.Connection, numbers: list[ChatId], now: int) -> None:
    """Record the change for the remaining members, except in the lobby."""
    remaining = sa.select(member.c.account).where(member.c.chat.in_([n for n in numbers if n != LOBBY]), IS_MEMBER)
    lock = sa.select(profile.c.id).where(profile.c.id.in_(remaining)).order_by(profile.c.id)
    touch(connection, connection.execute(lock.with_for_update(key_share=True)).scalars().all(), now)


def _list_members(connection: sa.Connection, numbers: list[ChatId]) -> dict[ChatId, list[AccountId]]:
    members: dict[ChatId, list[AccountId]] = {number: [] for number in numbers}
    rows = connection.execute(sa.select(member.c.chat, member.c.account).where(member.c.chat.in_(numbers), IS_MEMBER))
    for row in rows:
        members[row.chat].append(row.account)
    return members
