"""Accounts that an owner or admin adds to a group: friends, and those that have requested membership. The joins are
finished as any others: see `memberships`."""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.store.bans import banned_account, banned_among
from services.session.store.blocks import blocking_account, blocking_among
from services.session.store.memberships import (
    LockedGroup,
    StartedJoin,
    count_groups,
    delete_requests,
    insert_members,
    lock_managed_group,
    members_among,
    requests_of,
)
from services.session.store.sql import lock_active
from services.session.tables import friendship, membership_request
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import AddMember, AddMembers
from shared.settings.limits import GroupLimits


class StartedJoins(NamedTuple):
    """`version`: the chat's, by which `joining` are members whose joins are not finished; `present`: members that had
    joined before. `rejected`: all others."""

    version: int
    name: str
    joining: list[AccountId]
    present: list[AccountId]
    rejected: dict[AccountId, Failure]


def add_member(connection: sa.Connection, request: AddMember, head: int, limits: GroupLimits, now: int) -> StartedJoin:
    """Add a friend of the actor, or an account that requested membership. Raises RequestError."""
    several = AddMembers(request.chat, [request.account], request.actor)
    started = add_members(connection, several, head, limits, now)
    if started.present:
        raise domain.member_already()
    for failure in started.rejected.values():
        raise RequestError.from_failure(failure)
    return StartedJoin(started.version, started.name)


def add_members(
    connection: sa.Connection, request: AddMembers, head: int, limits: GroupLimits, now: int
) -> StartedJoins:
    """Add those of the accounts that may be added, in their order. Raises RequestError if none may be by the actor."""
    group = lock_managed_group(connection, request.chat, request.actor)
    accounts = list(dict.fromkeys(request.accounts))
    present, unfinished = members_among(connection, group.id, accounts)
    others = [account for account in accounts if account not in present and account not in unfinished]
    added, rejected = _select(connection, group, request.actor, others, limits, now)
    version = group.version
    if added:
        delete_requests(connection, group.id, added)
        version = insert_members(connection, group, added, head, now).version
    joining = [account for account in accounts if account in unfinished or account in added]
    return StartedJoins(version, group.name, joining, [account for account in accounts if account in present], rejected)


def _select(
    connection: sa.Connection,
    group: LockedGroup,
    actor: AccountId,
    accounts: Sequence[AccountId],
    limits: GroupLimits,
    now: int,
) -> tuple[list[AccountId], dict[AccountId, Failure]]:
    """Those of the accounts that may be added, and why the others may not. Raises RequestError."""
    added: list[AccountId] = []
    rejected: dict[AccountId, Failure] = {}
    if not accounts:
        return added, rejected
    candidates = _Candidates(connection, group, actor, domain.in_int64(accounts), now)
    for account in accounts:
        try:
            candidates.check(account, group.size + len(added), limits)
        except RequestError as error:
            rejected[account] = error.failure
        else:
            added.append(account)
    return added, rejected


class _Candidates:
    """What decides whether each of these accounts may be added. Their profiles are locked, in the order of all
    transactions, until this one ends: none is deleted, and none joins another group meanwhile."""

    def __init__(
        self, connection: sa.Connection, group: LockedGroup, actor: AccountId, accounts: Sequence[AccountId], now: int
    ) -> None:
        self._group = group
        self._active = lock_active(connection, {actor, *accounts})
        if actor not in self._active:
            raise domain.account_not_found(actor, "actor")
        self._invitable = _friends_and_applicants(connection, group.id, actor, accounts)
        self._blocking = blocking_among(connection, actor, accounts)
        self._banned = banned_among(connection, group.id, accounts, now)
        self._groups = count_groups(connection, accounts)

    def check(self, account: AccountId, size: int, limits: GroupLimits) -> None:
        """`size`: the members of the group. Raises RequestError."""
        if account not in self._active:
            raise domain.account_not_found(account)
        if account not in self._invitable:
            raise RequestError(ErrorCode.FORBIDDEN, "only friends can be added to a group", "account")
        if account in self._blocking:
            raise blocking_account("account")
        if account in self._banned:
            raise banned_account()
        domain.check_capacity(self._group.id, size, limits)
        domain.check_chat_count(self._groups.get(account, 0), limits)


def _friends_and_applicants(
    connection: sa.Connection, number: ChatId, actor: AccountId, accounts: Sequence[AccountId]
) -> frozenset[AccountId]:
    """Those of the accounts that are friends of the actor, or have requested membership."""
    friends = sa.select(friendship.c.friend).where(friendship.c.account == actor, friendship.c.friend.in_(accounts))
    applicants = sa.select(membership_request.c.applicant).where(requests_of(number, accounts))
    return frozenset(connection.execute(friends.union(applicants)).scalars())
