"""Joining chats: at once, on an approved request, or added by a friend.

A join has two transactions. The first makes the account a member, so that it receives every message committed from
then on; `head` is the last index that the message service reported shortly before. The second, `finish_joins`, sets
where the unread messages start: after the last index at the time when all nodes can know the new member. What the
member sees from before is what the group shows to new members at that time. Each join, and each end of one, has a
version of the chat of its own, also if several are made by one transaction.
`unfinished_joins` finds joins that were interrupted in between; a repeated request finishes them too.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.domain import LOBBY
from services.session.store import pending_notifications
from services.session.store.bans import require_not_banned
from services.session.store.friends import store_request
from services.session.store.sql import (
    IS_MEMBER,
    admins_of,
    insert,
    later,
    lock_active,
    members_of,
    require_active,
    role_of,
    touch,
)
from services.session.tables import chat, member, membership_request
from shared.contract.edge import RECENT_JOINS, MembershipAnswered, RecentJoins, recent_joins
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import AnswerMembership, RequestMembership
from shared.contract.model import ChatKind, JoinPolicy, Role
from shared.settings.limits import GroupLimits


class LockedGroup(NamedTuple):
    """A group whose row is locked: no other transaction changes its membership before this one ends."""

    id: ChatId
    name: str
    owner: AccountId
    join_policy: JoinPolicy
    version: int
    size: int
    history_for_new: bool | None


class StartedJoin(NamedTuple):
    """The account is a member since `version` or an earlier one; the join is not finished."""

    version: int
    name: str


class AwaitingApproval(NamedTuple):
    """The request is pending until the owner or an admin answers it; `admins` are these."""

    admins: list[AccountId]


class FinishedJoin(NamedTuple):
    """`recipients`: all members; None when there are many. In the lobby, the new member only. `since`: nobody else's
    membership has changed after this version. `recent`: of other accounts, in a group with many members; of several
    joins, the first has it."""

    version: int
    since: int
    role: Role
    first_index: int
    answered: MembershipAnswered
    recipients: list[AccountId] | None
    recent: RecentJoins | None


class FinishedJoins(NamedTuple):
    """`version`: the chat's, after these. `joins`: in the order of joining."""

    version: int
    joins: list[FinishedJoin]


_FIRST_VERSION = 1


# Starting a join


def request_membership(
    connection: sa.Connection, request: RequestMembership, head: int, limits: GroupLimits, now: int
) -> StartedJoin | AwaitingApproval:
    """Join an open group, or store a request. Raises RequestError."""
    group = lock_group(connection, request.chat)
    if is_joining(connection, group, request.actor):
        return StartedJoin(group.version, group.name)
    if domain.joins_immediately(group.join_policy, group.size):
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
    """A group without members has no owner: the next member becomes the owner. A former member gets a new seat. The
    caller has checked the accounts, and locked their profiles."""
    next_owner = accounts[0] if group.owner == NO_ACCOUNT and group.id != LOBBY else NO_ACCOUNT
    seat = sa.select(chat.c.seats).where(chat.c.id == group.id).scalar_subquery()
    rows = [
        {
            "chat": group.id, "account": account, "role": Role.OWNER if account == next_owner else Role.MEMBER,
            "seat": seat + place, "first_index": head + 1, "unread_from": None, "version": group.version + 1 + place,
        }
        for place, account in enumerate(accounts)
    ]  # fmt: skip
    insertion = insert(connection, member).values(rows)
    key = [member.c.chat, member.c.account]
    connection.execute(insertion.on_conflict_do_update(index_elements=key, set_=dict(insertion.excluded)))
    if next_owner != NO_ACCOUNT:
        connection.execute(sa.update(chat).where(chat.c.id == group.id).values(owner=next_owner))
    increment_version(connection, group.id, now, by=len(accounts), new_members=len(accounts))
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
    """Finish the joins of these accounts, but for those that were finished before. From `broadcast_from` members on,
    only the new members' own notifications are stored, and the other profiles' times of change do not move."""
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
    # By the version of a new owner, the former one has left.
    is_alone = joining[0].version == group.version and joining[0].role != Role.OWNER
    answers = [
        MembershipAnswered(number, group.name, AccountId(row.account), accepted=True, version=version)
        for version, row in enumerate(joining, group.version + 1)
    ]
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


def _store(
    connection: sa.Connection,
    group: LockedGroup,
    answers: list[MembershipAnswered],
    recipients: list[AccountId] | None,
    now: int,
) -> list[MembershipAnswered]:
    """Store these notifications for the recipients; None: each for its own account. Joins of the lobby have none."""
    if group.id == LOBBY:
        return answers
    if recipients is not None:
        return pending_notifications.store_several(connection, recipients, answers, now)
    return [pending_notifications.store(connection, [one.account], one, now) for one in answers]


def _audience(
    connection: sa.Connection,
    group: LockedGroup,
    joining: Sequence[AccountId],
    first: int,
    now: int,
    broadcast_from: int,
) -> tuple[list[AccountId] | None, RecentJoins | None]:
    """Who is notified of these joins, as in FinishedJoin, and the joins before the first of them. `first`: the first
    index that they may see."""
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
    """As many as recent_joins needs, up to this version, of other accounts."""
    fields = member.c.version, member.c.account, sa.case((IS_MEMBER, member.c.first_index), else_=0)
    others = sa.and_(member.c.chat == number, member.c.version <= version, member.c.account != without)
    changes = sa.select(*fields).where(others)
    for changed_at, account, first_index in connection.execute(
        changes.order_by(member.c.version.desc()).limit(RECENT_JOINS + 1)
    ):
        yield changed_at, AccountId(account), first_index


def unfinished_joins(connection: sa.Connection, account: AccountId) -> dict[ChatId, int]:
    """The versions of the chats whose joins were interrupted, except the lobby: a login joins that again."""
    joining = sa.select(chat.c.id, chat.c.version).join(member).where(member.c.account == account, IS_MEMBER)
    rows = connection.execute(joining.where(member.c.unread_from.is_(None), chat.c.id != LOBBY))
    return {ChatId(row.id): row.version for row in rows}


# Rows


def lock_group(connection: sa.Connection, number: ChatId) -> LockedGroup:
    """Raises RequestError when there is no such group; private chats are none."""
    fields = [chat.c[field] for field in LockedGroup._fields]
    row = connection.execute(
        sa.select(*fields).where(chat.c.id == number, chat.c.kind == ChatKind.GROUP).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise domain.hidden_error(ErrorCode.NOT_FOUND)
    policy = JoinPolicy(row.join_policy)
    return LockedGroup(ChatId(row.id), row.name, row.owner, policy, row.version, row.size, row.history_for_new)


def lock_managed_group(connection: sa.Connection, number: ChatId, actor: AccountId) -> LockedGroup:
    """Raises RequestError unless the actor manages the group."""
    group = lock_group(connection, number)
    domain.check_can_manage(role_of(connection, group.id, actor))
    return group


def count_groups(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, int]:
    """The numbers of groups that these accounts are in, without those that are in none. Private chats do not count:
    others can create them."""
    counts = sa.select(member.c.account, sa.func.count()).select_from(chat.join(member))
    groups = counts.where(member.c.account.in_(accounts), IS_MEMBER, chat.c.kind == ChatKind.GROUP)
    return {AccountId(row[0]): row[1] for row in connection.execute(groups.group_by(member.c.account))}


def is_joining(connection: sa.Connection, group: LockedGroup, account: AccountId) -> bool:
    """Whether the account's join was interrupted. Raises RequestError when the account is a member."""
    present, unfinished = members_among(connection, group.id, [account])
    if present:
        raise domain.member_already()
    return bool(unfinished)


def members_among(
    connection: sa.Connection, number: ChatId, accounts: Sequence[AccountId]
) -> tuple[frozenset[AccountId], frozenset[AccountId]]:
    """Those of the accounts that are members, and those whose join is not finished."""
    rows = connection.execute(
        sa.select(member.c.account, member.c.unread_from).where(
            member.c.chat == number, member.c.account.in_(domain.in_int64(accounts)), IS_MEMBER
        )
    ).all()
    present = frozenset(AccountId(row.account) for row in rows if row.unread_from is not None)
    return present, frozenset(AccountId(row.account) for row in rows) - present


def delete_requests(connection: sa.Connection, number: ChatId, applicants: Sequence[AccountId]) -> bool:
    """Returns whether any was pending."""
    return connection.execute(sa.delete(membership_request).where(requests_of(number, applicants))).rowcount > 0


def requests_of(number: ChatId, applicants: Sequence[AccountId]) -> sa.ColumnElement[bool]:
    return sa.and_(membership_request.c.chat == number, membership_request.c.applicant.in_(applicants))


def increment_version(
    connection: sa.Connection, number: ChatId, now: int, *, by: int = 1, new_members: int = 0
) -> None:
    """Every change of a membership increments the chat's version."""
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
