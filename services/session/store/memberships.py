"""Joining chats: at once, on an approved request, or added by a friend.

A join has two transactions. The first makes the account a member, so that it receives every message committed from
then on; `head` is the last index that the message service reported shortly before. The second, `finish_join`, sets
where the unread messages start: after the last index at the time when all nodes can know the new member.
`unfinished_joins` finds joins that were interrupted in between; a repeated request finishes them too.
"""

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.domain import LOBBY
from services.session.store import pending_notifications
from services.session.store.bans import require_not_banned
from services.session.store.blocks import require_unblocked
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
from services.session.tables import chat, friendship, member, membership_request
from shared.contract.edge import RECENT_JOINS, MembershipAnswered, RecentJoins, recent_joins
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import ChatKind, JoinPolicy, Role
from shared.contract.session import AddMember, AnswerMembership, RequestMembership
from shared.settings import LimitsSettings


class LockedGroup(NamedTuple):
    """A group whose row is locked: no other transaction changes its membership before this one ends."""

    id: ChatId
    name: str
    owner: AccountId
    join_policy: JoinPolicy
    version: int
    size: int


class StartedJoin(NamedTuple):
    """The account is a member since `version`; the join is not finished."""

    version: int
    name: str


class AwaitingApproval(NamedTuple):
    """The request is pending until the owner or an admin answers it; `admins` are these."""

    name: str
    admins: list[AccountId]


class FinishedJoin(NamedTuple):
    """`recipients`: all members; None when there are many. In the lobby, the new member only. `since`: nobody else's
    membership has changed after this version. `recent`: of other accounts, in a group with many members."""

    version: int
    since: int
    role: Role
    first_index: int
    answered: MembershipAnswered
    recipients: list[AccountId] | None
    recent: RecentJoins | None


_FIRST_VERSION = 1


# Starting a join


def request_membership(
    connection: sa.Connection, request: RequestMembership, head: int, limits: LimitsSettings, now: int
) -> StartedJoin | AwaitingApproval:
    """Join an open group, or store a request. Raises RequestError."""
    group = lock_group(connection, request.chat)
    if is_joining(connection, group, request.actor):
        return StartedJoin(group.version, group.name)
    if domain.joins_immediately(group.join_policy):
        return admit(connection, group, request.actor, head, limits, now)
    require_not_banned(connection, group.id, request.actor, now)
    domain.check_capacity(group.id, group.size, limits)
    require_active(connection, [request.actor], "actor")
    key = {"chat": group.id, "applicant": request.actor}
    store_request(connection, membership_request, key, request.text, limits, now)
    return AwaitingApproval(group.name, admins_of(connection, group.id))


def answer_request(
    connection: sa.Connection, request: AnswerMembership, head: int, limits: LimitsSettings, now: int
) -> StartedJoin | MembershipAnswered:
    """Accept or reject a request. Raises RequestError; the request then remains pending."""
    group = lock_managed_group(connection, request.chat, request.actor)
    if not _delete_request(connection, group.id, request.applicant):
        if request.accept and _has_unfinished_join(connection, group.id, request.applicant):
            return StartedJoin(group.version, group.name)
        raise domain.no_pending_request("applicant")
    if request.accept:
        return admit(connection, group, request.applicant, head, limits, now)
    rejected = MembershipAnswered(group.id, group.name, request.applicant, accepted=False)
    require_active(connection, [request.applicant], "applicant")
    return pending_notifications.store(connection, [request.applicant], rejected, now)


def add_member(
    connection: sa.Connection, request: AddMember, head: int, limits: LimitsSettings, now: int
) -> StartedJoin:
    """Add a friend of the actor, or an account that requested membership. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    if is_joining(connection, group, request.account):
        return StartedJoin(group.version, group.name)
    require_active(connection, [request.actor, request.account], "account")
    if not (_has_requested(connection, group.id, request.account) or _are_friends(connection, request)):
        raise RequestError(ErrorCode.FORBIDDEN, "only friends can be added to a group", "account")
    require_unblocked(connection, request.actor, [request.account], "account")
    return admit(connection, group, request.account, head, limits, now)


def join_lobby(connection: sa.Connection, account: AccountId, head: int, now: int) -> int | None:
    """Join unless the account is or was a member. Returns the lobby's version; None when the account is deleted."""
    lobby = lock_group(connection, LOBBY)
    if not lock_active(connection, [account]):
        return None
    known = sa.select(member.c.chat).where(member.c.chat == LOBBY, member.c.account == account)
    if connection.execute(known).one_or_none() is None:
        return _insert_member(connection, lobby, account, head, now).version
    return lobby.version


def admit(
    connection: sa.Connection, group: LockedGroup, account: AccountId, head: int, limits: LimitsSettings, now: int
) -> StartedJoin:
    """Make the account a member if neither a ban nor the limits forbid it. Deletes its pending request."""
    require_not_banned(connection, group.id, account, now)
    domain.check_capacity(group.id, group.size, limits)
    require_active(connection, [account], "account")
    domain.check_chat_count(count_groups(connection, account), limits)
    _delete_request(connection, group.id, account)
    return _insert_member(connection, group, account, head, now)


def _insert_member(
    connection: sa.Connection, group: LockedGroup, account: AccountId, head: int, now: int
) -> StartedJoin:
    """A group without members has no owner: the next member becomes the owner. A former member gets a new seat."""
    is_owner = group.owner == NO_ACCOUNT and group.id != LOBBY
    seat = sa.select(chat.c.seats).where(chat.c.id == group.id).scalar_subquery()
    row = {
        "chat": group.id, "account": account, "role": Role.OWNER if is_owner else Role.MEMBER, "seat": seat,
        "first_index": head + 1, "unread_from": None, "version": group.version + 1,
    }  # fmt: skip
    insertion = insert(connection, member).values(row)
    key = [member.c.chat, member.c.account]
    connection.execute(insertion.on_conflict_do_update(index_elements=key, set_=dict(insertion.excluded)))
    if is_owner:
        connection.execute(sa.update(chat).where(chat.c.id == group.id).values(owner=account))
    increment_version(connection, group.id, now, new_members=1)
    touch(connection, [account], now)
    return StartedJoin(group.version + 1, group.name)


# Finishing a join


def finish_join(
    connection: sa.Connection, number: ChatId, account: AccountId, unread_from: int, now: int, broadcast_from: int
) -> FinishedJoin | None:
    """Finish a join; None when it was finished before. From `broadcast_from` members on, only the new member's
    notification is stored, and the other profiles' times of change do not move."""
    group = lock_group(connection, number)
    unfinished = sa.and_(
        member.c.chat == number, member.c.account == account, IS_MEMBER, member.c.unread_from.is_(None)
    )
    joined_at = connection.execute(sa.select(member.c.version).where(unfinished)).scalar_one_or_none()
    first = 1 if group.join_policy is JoinPolicy.OPEN else unread_from
    finished = sa.update(member).where(unfinished).values(
        unread_from=unread_from, first_index=first, version=group.version + 1
    )  # fmt: skip
    row = connection.execute(finished.returning(member.c.role, member.c.first_index)).one_or_none()
    if row is None or joined_at is None:
        return None
    increment_version(connection, number, now)
    # By the version of a new owner, the former one has left.
    is_alone = joined_at == group.version and row.role != Role.OWNER
    since = group.version - 1 if is_alone else group.version
    answered = MembershipAnswered(number, group.name, account, accepted=True)
    recipients: list[AccountId] | None = [account]
    recent: RecentJoins | None = None
    if number != LOBBY:
        recipients = members_of(connection, number) if group.size < broadcast_from else None
        if recipients is not None:
            lock_active(connection, recipients)
            touch(connection, [other for other in recipients if other != account], now)
        else:
            recent = recent_joins(_last_changes(connection, number, group.version), _FIRST_VERSION)
        answered = pending_notifications.store(connection, recipients or [account], answered, now)
    return FinishedJoin(group.version + 1, since, Role(row.role), row.first_index, answered, recipients, recent)


def _last_changes(connection: sa.Connection, number: ChatId, version: int) -> Iterator[tuple[int, AccountId, int]]:
    """As many as recent_joins needs, up to this version."""
    fields = member.c.version, member.c.account, sa.case((IS_MEMBER, member.c.first_index), else_=0)
    changes = sa.select(*fields).where(member.c.chat == number, member.c.version <= version)
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
    return LockedGroup(ChatId(row.id), row.name, row.owner, JoinPolicy(row.join_policy), row.version, row.size)


def lock_managed_group(connection: sa.Connection, number: ChatId, actor: AccountId) -> LockedGroup:
    """Raises RequestError unless the actor manages the group."""
    group = lock_group(connection, number)
    domain.check_can_manage(role_of(connection, group.id, actor))
    return group


def count_groups(connection: sa.Connection, account: AccountId) -> int:
    """The number of groups that an account is in. Private chats do not count: others can create them."""
    groups = sa.select(sa.func.count()).select_from(chat.join(member))
    return connection.execute(
        groups.where(member.c.account == account, IS_MEMBER, chat.c.kind == ChatKind.GROUP)
    ).scalar_one()


def is_joining(connection: sa.Connection, group: LockedGroup, account: AccountId) -> bool:
    """Whether the account's join was interrupted. Raises RequestError when the account is a member."""
    if _has_unfinished_join(connection, group.id, account):
        return True
    if role_of(connection, group.id, account) is not None:
        raise RequestError(ErrorCode.CONFLICT, "a member already", "chat")
    return False


def _has_unfinished_join(connection: sa.Connection, number: ChatId, account: AccountId) -> bool:
    rows = sa.select(member.c.chat).where(member.c.chat == number, member.c.account == account, IS_MEMBER)
    return connection.execute(rows.where(member.c.unread_from.is_(None))).one_or_none() is not None


def _has_requested(connection: sa.Connection, number: ChatId, account: AccountId) -> bool:
    rows = sa.select(membership_request.c.chat).where(_request_of(number, account))
    return connection.execute(rows).one_or_none() is not None


def _delete_request(connection: sa.Connection, number: ChatId, applicant: AccountId) -> bool:
    """Returns whether the request was pending."""
    return connection.execute(sa.delete(membership_request).where(_request_of(number, applicant))).rowcount > 0


def _request_of(number: ChatId, applicant: AccountId) -> sa.ColumnElement[bool]:
    return sa.and_(membership_request.c.chat == number, membership_request.c.applicant == applicant)


def _are_friends(connection: sa.Connection, request: AddMember) -> bool:
    rows = sa.select(friendship.c.account).where(
        friendship.c.account == request.actor, friendship.c.friend == request.account
    )
    return connection.execute(rows).one_or_none() is not None


def increment_version(connection: sa.Connection, number: ChatId, now: int, new_members: int = 0) -> None:
    """Every change of a membership increments the chat's version."""
    connection.execute(
        sa.update(chat)
        .where(chat.c.id == number)
        .values(
            version=chat.c.version + 1,
            size=chat.c.size + new_members,
            seats=chat.c.seats + new_members,
            updated=later(chat.c.updated, now),
        )
    )
