"""Joining chats: at once, on an approved request, or added by a friend.

A join has two transactions. The first transaction makes the account a member, which receives every message committed
from then on. `head` is the last index that the message service reported shortly before. The second transaction,
`finish_joins`, sets where the unread messages start. They start after the last index at the time when all edge nodes
can know the new member. If the group then shows its history to new members, the new member also sees earlier messages.
Each join, and each end of a membership, gets its own version of the chat, even if one transaction makes several such
changes. `unfinished_joins` finds joins that were interrupted between the two transactions. A repeated request also
finishes such a join.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain, list_limits
from services.session.domain import LOBBY
from services.session.store import admission, happenings, pending_notifications
from services.session.store.bans import banned_account, banned_among, require_not_banned
from services.session.store.blocks import blocking_account, blocking_among
from services.session.store.friends import store_request
from services.session.store.sql import (
    IS_MEMBER,
    LockedGroup,
    admins_of,
    later,
    lock_active,
    members_of,
    require_active,
    role_of,
    touch,
    unread_webhook,
    upsert,
    webhooks_among,
)
from services.session.tables import chat, friendship, member, membership_request
from shared.contract.edge import RECENT_JOINS, MembershipAnswered, RecentJoins, recent_joins
from shared.contract.errors import ErrorCode, Failure, Reason, RequestError
from shared.contract.happenings import HappeningKind
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import AddMember, AddMembers, AnswerMembership, RequestMembership
from shared.contract.model import ChatKind, JoinPolicy, Role
from shared.settings.limits import GroupLimits


class StartedJoin(NamedTuple):
    """The account has been a member since `version` or an earlier version; its join is not finished."""

    version: int
    name: str


class AwaitingApproval(NamedTuple):
    """The request is pending until the owner or an admin answers it. `admins`: the owner and the admins."""

    admins: list[AccountId]


class FinishedJoin(NamedTuple):
    """`recipients`: all members, or None if there are many. In the lobby, only the new member is a recipient. `since`:
    after this version, no other membership has changed. `recent`: in a group with many members, the latest joins of
    other accounts. If several joins are finished together, only the first has `recent`."""

    version: int
    since: int
    role: Role
    first_index: int
    answered: MembershipAnswered
    recipients: list[AccountId] | None
    recent: RecentJoins | None


class FinishedJoins(NamedTuple):
    """`version`: the chat's version after these joins. `joins`: the joins in their order."""

    version: int
    joins: list[FinishedJoin]


_FIRST_VERSION = 1


# Starting a join


def request_membership(
    connection: sa.Connection, request: RequestMembership, head: int, limits: GroupLimits, now: int, server: str = ""
) -> StartedJoin | AwaitingApproval:
    """Join an open group, or store a request. `server`: the server's name on IRC, which masks can contain. Raises
    RequestError."""
    group = lock_group(connection, request.chat)
    if is_joining(connection, group, request.actor):
        return StartedJoin(group.version, group.name)
    if admission.passes(connection, group, request.actor, request.key, now, server):
        return admit(connection, group, request.actor, head, limits, now)
    require_not_banned(connection, group.id, request.actor, now)
    domain.check_capacity(group.id, group.size, limits)
    require_active(connection, [request.actor], "actor")
    key = {"chat": group.id, "applicant": request.actor}
    store_request(connection, membership_request, key, request.text, limits, now)
    return AwaitingApproval(admins_of(connection, group.id))


def answer_request(
    connection: sa.Connection, request: AnswerMembership, head: int, limits: GroupLimits, now: int
) -> StartedJoin | MembershipAnswered:
    """Accept or reject a request. Raises RequestError; the request then remains pending."""
    group = lock_managed_group(connection, request.chat, request.actor)
    if not delete_requests(connection, group.id, [request.applicant]):
        _, unfinished = members_among(connection, group.id, [request.applicant])
        if request.accept and unfinished:
            return StartedJoin(group.version, group.name)
        raise domain.no_pending_request("applicant")
    if request.accept:
        return admit(connection, group, request.applicant, head, limits, now)
    rejected = MembershipAnswered(group.id, "", request.applicant, accepted=False)
    require_active(connection, [request.applicant], "applicant")
    return pending_notifications.store(connection, [request.applicant], rejected, now)


def join_lobby(connection: sa.Connection, account: AccountId, head: int, now: int) -> int | None:
    """Join unless the account is or was a member. Returns the lobby's version; None when the account is deleted."""
    lobby = lock_group(connection, LOBBY)
    if not lock_active(connection, [account]):
        return None
    known = sa.select(member.c.chat).where(member.c.chat == LOBBY, member.c.account == account)
    if connection.execute(known).one_or_none() is None:
        return insert_members(connection, lobby, [account], head, now).version
    return lobby.version


def admit(
    connection: sa.Connection, group: LockedGroup, account: AccountId, head: int, limits: GroupLimits, now: int
) -> StartedJoin:
    """Make the account a member if neither a ban nor the limits forbid it. Deletes its pending request."""
    require_not_banned(connection, group.id, account, now)
    domain.check_capacity(group.id, group.size, limits)
    require_active(connection, [account], "account")
    domain.check_chat_count(count_groups(connection, [account]).get(account, 0), limits)
    delete_requests(connection, group.id, [account])
    return insert_members(connection, group, [account], head, now)


def insert_members(
    connection: sa.Connection, group: LockedGroup, accounts: Sequence[AccountId], head: int, now: int
) -> StartedJoin:
    """Insert members. A group without members has no owner, so its next member becomes the owner. A past member gets a
    new seat. The caller has checked the accounts, and locked their profiles."""
    has_no_owner = group.owner == NO_ACCOUNT and group.id != LOBBY and not group.ownerless
    next_owner = accounts[0] if has_no_owner else NO_ACCOUNT
    seat = sa.select(chat.c.seats).where(chat.c.id == group.id).scalar_subquery()
    rows = [
        {
            "chat": group.id, "account": account, "role": Role.OWNER if account == next_owner else Role.MEMBER,
            "seat": seat + place, "first_index": head + 1, "unread_from": None, "version": group.version + 1 + place,
        }
        for place, account in enumerate(accounts)
    ]  # fmt: skip
    upsert(connection, member, rows)
    if next_owner != NO_ACCOUNT:
        connection.execute(sa.update(chat).where(chat.c.id == group.id).values(owner=next_owner))
    increment_version(connection, group.id, now, by=len(accounts), new_members=len(accounts))
    admission.end_invitations(connection, group.id, accounts)
    touch(connection, accounts, now)
    return StartedJoin(group.version + len(accounts), group.name)


# Finishing a join


def finish_joins(
    connection: sa.Connection,
    number: ChatId,
    accounts: Sequence[AccountId],
    unread_from: int,
    now: int,
    broadcast_from: int,
) -> FinishedJoins:
    """Finish the joins of these accounts, except those that were finished before. In a group with `broadcast_from` or
    more members, notifications are stored only for the new members themselves, and the times of change in the other
    profiles stay the same."""
    group = lock_group(connection, number)
    unfinished = sa.and_(
        member.c.chat == number, member.c.account.in_(accounts), IS_MEMBER, member.c.unread_from.is_(None)
    )
    joining = connection.execute(
        sa.select(member.c.account, member.c.role, member.c.version).where(unfinished).order_by(member.c.version)
    ).all()
    if not joining:
        return FinishedJoins(group.version, [])
    first = 1 if domain.shows_history(group.join_policy, group.history_for_new) else unread_from
    recipients, recent = _audience(connection, group, [row.account for row in joining], first, now, broadcast_from)
    # A version that makes a new member the owner may also be the end of the previous owner's membership.
    is_alone = joining[0].version == group.version and joining[0].role != Role.OWNER
    answers = [
        MembershipAnswered(
            number, group.name, row.account, accepted=True, version=version,
            time=_record_join(connection, number, row.account, now),
        )
        for version, row in enumerate(joining, group.version + 1)
    ]  # fmt: skip
    joins: list[FinishedJoin] = []
    for row, answered in zip(joining, _store(connection, group, answers, recipients, now), strict=True):
        version, account = answered.version, answered.account
        own = sa.and_(member.c.chat == number, member.c.account == account)
        change = sa.update(member).where(own).values(unread_from=unread_from, first_index=first, version=version)
        connection.execute(change)
        notified = [account] if number == LOBBY else recipients
        since = version - 2 if is_alone and not joins else version - 1
        joins.append(FinishedJoin(version, since, Role(row.role), first, answered, notified, None if joins else recent))
    increment_version(connection, number, now, by=len(joins))
    return FinishedJoins(group.version + len(joins), joins)


def _record_join(connection: sa.Connection, number: ChatId, account: AccountId, now: int) -> int:
    """Records a join, except in the lobby, whose joins are not shown."""
    return 0 if number == LOBBY else happenings.record(connection, number, now, HappeningKind.JOIN, account, account)


def _store(
    connection: sa.Connection,
    group: LockedGroup,
    answers: list[MembershipAnswered],
    recipients: list[AccountId] | None,
    now: int,
) -> list[MembershipAnswered]:
    """Store these notifications for the recipients. If `recipients` is None, each notification is stored for the
    account that it is about. Notifications about joins of the lobby are not stored."""
    if group.id == LOBBY:
        return answers
    if recipients is not None:
        return pending_notifications.store_several(connection, recipients, answers, now)
    return pending_notifications.store_each(connection, answers, now)


def _audience(
    connection: sa.Connection,
    group: LockedGroup,
    joining: Sequence[AccountId],
    first: int,
    now: int,
    broadcast_from: int,
) -> tuple[list[AccountId] | None, RecentJoins | None]:
    """The accounts that are notified of these joins (see FinishedJoin), and the joins before the first of them.
    `first`: the first index that the new members may see."""
    if group.id == LOBBY:
        return None, None
    if group.size >= broadcast_from:
        changes = _last_changes(connection, group.id, group.version, joining[0])
        recent = recent_joins(changes, _FIRST_VERSION)
        known = {other: first for other in joining if other in recent.joined}
        return None, RecentJoins(recent.since, recent.joined | known)
    members = members_of(connection, group.id)
    lock_active(connection, members)
    touch(connection, [other for other in members if other not in joining], now)
    return members, None


def _last_changes(
    connection: sa.Connection, number: ChatId, version: int, without: AccountId
) -> Iterator[tuple[int, AccountId, int]]:
    """As many membership changes of other accounts up to this version as `recent_joins` needs."""
    fields = member.c.version, member.c.account, sa.case((IS_MEMBER, member.c.first_index), else_=0)
    others = sa.and_(member.c.chat == number, member.c.version <= version, member.c.account != without)
    changes = sa.select(*fields).where(others)
    for changed_at, account, first_index in connection.execute(
        changes.order_by(member.c.version.desc()).limit(RECENT_JOINS + 1)
    ):
        yield changed_at, AccountId(account), first_index


def unfinished_joins(connection: sa.Connection, account: AccountId) -> dict[ChatId, int]:
    """The versions of the chats whose joins were interrupted, except the lobby, which a login joins again."""
    joining = sa.select(chat.c.id, chat.c.version).join(member).where(member.c.account == account, IS_MEMBER)
    rows = connection.execute(joining.where(member.c.unread_from.is_(None), chat.c.id != LOBBY))
    return {ChatId(row.id): row.version for row in rows}


# Rows


def lock_group(connection: sa.Connection, number: ChatId) -> LockedGroup:
    """Raises RequestError if the group does not exist; private chats are no groups."""
    fields = [chat.c[field] for field in LockedGroup._fields]
    row = connection.execute(
        sa.select(*fields).where(chat.c.id == number, chat.c.kind == ChatKind.GROUP).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise domain.hidden_error(ErrorCode.NOT_FOUND)
    policy = JoinPolicy(row.join_policy)
    return LockedGroup(ChatId(row.id), row.name, row.owner, policy, *row[4:])


def role_in(connection: sa.Connection, group: LockedGroup, account: AccountId) -> Role | None:
    """The role that counts for the permissions of an account. In a group without an owner, admins have the permissions
    of an owner."""
    role = role_of(connection, group.id, account)
    return Role.OWNER if group.ownerless and role is Role.ADMIN else role


def lock_managed_group(connection: sa.Connection, number: ChatId, actor: AccountId) -> LockedGroup:
    """Raises RequestError unless the actor manages the group."""
    group = lock_group(connection, number)
    domain.check_can_manage(role_of(connection, group.id, actor))
    return group


def count_groups(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, int]:
    """How many groups each of these accounts is in, without the accounts that are in none. Private chats do not count,
    because other accounts can create them."""
    counts = sa.select(member.c.account, sa.func.count()).select_from(chat.join(member))
    groups = counts.where(member.c.account.in_(accounts), IS_MEMBER, chat.c.kind == ChatKind.GROUP)
    return {AccountId(row[0]): row[1] for row in connection.execute(groups.group_by(member.c.account))}


def friends_among(actor: AccountId, accounts: Sequence[AccountId]) -> sa.Select[AccountId]:
    """Selects the friends of the actor among `accounts`."""
    return sa.select(friendship.c.friend).where(friendship.c.account == actor, friendship.c.friend.in_(accounts))


def is_joining(connection: sa.Connection, group: LockedGroup, account: AccountId) -> bool:
    """Whether the account's join was interrupted. Raises RequestError when the account is a member."""
    present, unfinished = members_among(connection, group.id, [account])
    if present:
        raise domain.member_already()
    return bool(unfinished)


def members_among(
    connection: sa.Connection, number: ChatId, accounts: Sequence[AccountId]
) -> tuple[frozenset[AccountId], frozenset[AccountId]]:
    """Which of these accounts are members, and which of those have not finished their join."""
    rows = connection.execute(
        sa.select(member.c.account, member.c.unread_from).where(
            member.c.chat == number, member.c.account.in_(list_limits.in_int64(accounts)), IS_MEMBER
        )
    ).all()
    present = frozenset(AccountId(row.account) for row in rows if row.unread_from is not None)
    return present, frozenset(AccountId(row.account) for row in rows) - present


def delete_requests(connection: sa.Connection, number: ChatId, applicants: Sequence[AccountId]) -> bool:
    """Delete the requests. Returns whether any was pending."""
    return connection.execute(sa.delete(membership_request).where(requests_of(number, applicants))).rowcount > 0


def requests_of(number: ChatId, applicants: Sequence[AccountId]) -> sa.ColumnElement[bool]:
    return sa.and_(membership_request.c.chat == number, membership_request.c.applicant.in_(applicants))


def increment_version(
    connection: sa.Connection, number: ChatId, now: int, *, by: int = 1, new_members: int = 0
) -> None:
    """Increment the chat's version, as every change of a membership must."""
    connection.execute(
        sa.update(chat)
        .where(chat.c.id == number)
        .values(
            version=chat.c.version + by,
            size=chat.c.size + new_members,
            seats=chat.c.seats + new_members,
            updated=later(chat.c.updated, now),
        )
    )


# An owner or admin adds friends, and accounts that have requested membership, to a group. These joins are then finished
# like all other joins.


class StartedJoins(NamedTuple):
    """`version`: the chat's version in which the accounts in `joining` are members but have not finished their joins.
    `present`: members that had joined before. `rejected`: all others."""

    version: int
    name: str
    joining: list[AccountId]
    present: list[AccountId]
    rejected: dict[AccountId, Failure]


def add_member(connection: sa.Connection, request: AddMember, head: int, limits: GroupLimits, now: int) -> StartedJoin:
    """Add a friend of the actor, or an account that requested membership. Raises RequestError."""
    several = AddMembers(request.chat, [request.account], actor=request.actor)
    started = add_members(connection, several, head, limits, now)
    if started.present:
        raise domain.member_already()
    for failure in started.rejected.values():
        raise RequestError.from_failure(failure)
    return StartedJoin(started.version, started.name)


def add_members(
    connection: sa.Connection, request: AddMembers, head: int, limits: GroupLimits, now: int
) -> StartedJoins:
    """Add the accounts that may be added, in the given order. Raises RequestError if the actor may add none of the
    accounts."""
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
    """The accounts that may be added, and for each of the other accounts the reason why it may not be added. Raises
    RequestError."""
    added: list[AccountId] = []
    rejected: dict[AccountId, Failure] = {}
    if not accounts:
        return added, rejected
    candidates = _Candidates(connection, group, actor, list_limits.in_int64(accounts), now)
    for account in accounts:
        try:
            candidates.check(account, group.size + len(added), limits)
        except RequestError as error:
            rejected[account] = error.failure
        else:
            added.append(account)
    return added, rejected


class _Candidates:
    """The facts that decide whether each of these accounts may be added. The profiles of these accounts are locked
    until this transaction ends, in the order of all transactions. So no account is deleted or joins another group
    meanwhile."""

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
        self._webhooks = webhooks_among(connection, accounts)
        self._groups = count_groups(connection, accounts)

    def check(self, account: AccountId, size: int, limits: GroupLimits) -> None:
        """`size`: the number of members in the group. Raises RequestError."""
        if account not in self._active:
            raise domain.account_not_found(account)
        if account not in self._invitable:
            raise RequestError(
                ErrorCode.FORBIDDEN, "only friends can be added to a group", "account", reason=Reason.NOT_FRIEND
            )
        if account in self._webhooks:
            raise unread_webhook("account")
        if account in self._blocking:
            raise blocking_account("account")
        if account in self._banned:
            raise banned_account()
        domain.check_capacity(self._group.id, size, limits)
        domain.check_chat_count(self._groups.get(account, 0), limits)


def _friends_and_applicants(
    connection: sa.Connection, number: ChatId, actor: AccountId, accounts: Sequence[AccountId]
) -> frozenset[AccountId]:
    """The accounts among `accounts` that are friends of the actor, or have requested membership."""
    applicants = sa.select(membership_request.c.applicant).where(requests_of(number, accounts))
    return frozenset(connection.execute(friends_among(actor, accounts).union(applicants)).scalars())
