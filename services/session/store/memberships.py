"""How people get into chats: at once, on application, or pulled in by a friend.

A join has two steps. First the account is a member, so that whatever is said from then on reaches it; `head` is the
last index that message told of shortly before. `settle` completes it when message has told how much had been said
until everybody knew of the new member. A join that was interrupted in between is found by `unsettled`, and by asking
for it again.
"""

from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.domain import LOBBY
from services.session.store.friends import put_request
from services.session.store.pending_notifications import keep
from services.session.store.sql import LIVE, hosts_of, later, lock_living, members_of, require_living, role_in, touch
from services.session.tables import application, chat, friendship, member
from shared.contract.edge import MembershipAnswered
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind, JoinPolicy, Role
from shared.contract.session import AddMember, AnswerMembership, RequestMembership
from shared.settings import Limits


class Group(NamedTuple):
    """A group whose row is locked: nobody else changes its membership before this transaction ends."""

    id: ChatId
    name: str
    join_policy: JoinPolicy
    version: int
    size: int


class Joining(NamedTuple):
    """The group has the account in it at `version`; the join is to be completed."""

    version: int
    name: str


class Applied(NamedTuple):
    """It waits for the answer of one of the hosts: owner and admins."""

    name: str
    hosts: list[AccountId]


class Settled(NamedTuple):
    """A join is complete. `told`: who is there now; None when they are many. In the lobby, only who joined."""

    version: int
    role: Role
    first_index: int
    answered: MembershipAnswered
    told: list[AccountId] | None


# Ways in


def request(
    connection: sa.Connection, asked: RequestMembership, head: int, limits: Limits, now: int
) -> Joining | Applied:
    """Raises Refused."""
    group = lock_group(connection, asked.chat)
    if _is_joining(connection, group, asked.actor):
        return Joining(group.version, group.name)
    if domain.joins_at_once(group.join_policy):
        return _take_in(connection, group, asked.actor, head, limits, now)
    domain.check_room(group.id, group.size, limits)
    require_living(connection, [asked.actor], "actor")
    key = {"chat": group.id, "applicant": asked.actor}
    put_request(connection, application, key, asked.text, limits, now)
    return Applied(group.name, hosts_of(connection, group.id))


def answer(
    connection: sa.Connection, asked: AnswerMembership, head: int, limits: Limits, now: int
) -> Joining | MembershipAnswered:
    """Raises Refused; then an application goes on waiting."""
    group = lock_group(connection, asked.chat)
    domain.check_runs(role_in(connection, group.id, asked.actor))
    applied = sa.and_(application.c.chat == group.id, application.c.applicant == asked.applicant)
    if connection.execute(sa.delete(application).where(applied)).rowcount == 0:
        if asked.accept and _waits(connection, group.id, asked.applicant):
            return Joining(group.version, group.name)
        raise domain.nothing_pending("applicant")
    if asked.accept:
        return _take_in(connection, group, asked.applicant, head, limits, now)
    refused = MembershipAnswered(group.id, group.name, asked.applicant, accepted=False)
    require_living(connection, [asked.applicant], "applicant")
    return keep(connection, [asked.applicant], refused, now)


def add(connection: sa.Connection, asked: AddMember, head: int, limits: Limits, now: int) -> Joining:
    """Raises Refused."""
    group = lock_group(connection, asked.chat)
    domain.check_runs(role_in(connection, group.id, asked.actor))
    if _is_joining(connection, group, asked.account):
        return Joining(group.version, group.name)
    require_living(connection, [asked.actor, asked.account], "account")
    if not (_has_applied(connection, group.id, asked.account) or _are_friends(connection, asked)):
        raise RequestError(ErrorCode.FORBIDDEN, "only friends can be added to a group", "account")
    return _take_in(connection, group, asked.account, head, limits, now)


def join_lobby(connection: sa.Connection, account: AccountId, head: int, now: int) -> int | None:
    """The lobby's version that has the account in it; None when the account is deleted."""
    lobby = lock_group(connection, LOBBY)
    if not lock_living(connection, [account]):
        return None
    was_there = sa.select(member.c.chat).where(member.c.chat == LOBBY, member.c.account == account)
    if connection.execute(was_there).one_or_none() is None:
        return _seat(connection, lobby, account, head, now).version
    return lobby.version


def _take_in(
    connection: sa.Connection, group: Group, account: AccountId, head: int, limits: Limits, now: int
) -> Joining:
    domain.check_room(group.id, group.size, limits)
    require_living(connection, [account], "account")
    domain.check_count(groups_of(connection, account), limits)
    applied = sa.and_(application.c.chat == group.id, application.c.applicant == account)
    connection.execute(sa.delete(application).where(applied))
    return _seat(connection, group, account, head, now)


def _seat(connection: sa.Connection, group: Group, account: AccountId, head: int, now: int) -> Joining:
    seat = sa.select(chat.c.seats).where(chat.c.id == group.id).scalar_subquery()
    row = {
        "chat": group.id, "account": account, "role": Role.MEMBER, "seat": seat, "first_index": head + 1,
        "unread_from": None, "version": group.version + 1,
    }  # fmt: skip
    connection.execute(sa.insert(member).values(row))
    _change(connection, group.id, now, newcomers=1)
    touch(connection, [account], now)
    return Joining(group.version + 1, group.name)


# Completing


def settle(
    connection: sa.Connection, number: ChatId, account: AccountId, unread_from: int, now: int, many: int
) -> Settled | None:
    """Complete a join; None when it was complete before. From `many` members on, only the newcomer's notice is kept
    and nobody's times move."""
    group = lock_group(connection, number)
    waiting = sa.and_(member.c.chat == number, member.c.account == account, LIVE, member.c.unread_from.is_(None))
    first = 1 if group.join_policy is JoinPolicy.OPEN else unread_from
    completed = sa.update(member).where(waiting).values(
        unread_from=unread_from, first_index=first, version=group.version + 1
    )  # fmt: skip
    row = connection.execute(completed.returning(member.c.role, member.c.first_index)).one_or_none()
    if row is None:
        return None
    _change(connection, number, now)
    answered = MembershipAnswered(number, group.name, account, accepted=True)
    told: list[AccountId] | None = [account]
    if number != LOBBY:
        told = members_of(connection, number) if group.size < many else None
        if told is not None:
            lock_living(connection, told)
            touch(connection, [other for other in told if other != account], now)
        answered = keep(connection, told or [account], answered, now)
    return Settled(group.version + 1, Role(row.role), row.first_index, answered, told)


def unsettled(connection: sa.Connection, account: AccountId) -> dict[ChatId, int]:
    """The chats, with their versions, whose joins were interrupted; the lobby has its own way."""
    joining = sa.select(chat.c.id, chat.c.version).join(member).where(member.c.account == account, LIVE)
    rows = connection.execute(joining.where(member.c.unread_from.is_(None), chat.c.id != LOBBY))
    return {ChatId(row.id): row.version for row in rows}


# Rows


def lock_group(connection: sa.Connection, number: ChatId) -> Group:
    """Private chats are no groups. Raises Refused."""
    fields = [chat.c[field] for field in Group._fields]
    row = connection.execute(
        sa.select(*fields).where(chat.c.id == number, chat.c.kind == ChatKind.GROUP).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise domain.not_yours(ErrorCode.NOT_FOUND)
    return Group(ChatId(row.id), row.name, JoinPolicy(row.join_policy), row.version, row.size)


def groups_of(connection: sa.Connection, account: AccountId) -> int:
    """How many groups an account is in; private chats are made by others, too."""
    groups = sa.select(sa.func.count()).select_from(chat.join(member))
    return connection.execute(
        groups.where(member.c.account == account, LIVE, chat.c.kind == ChatKind.GROUP)
    ).scalar_one()


def _is_joining(connection: sa.Connection, group: Group, account: AccountId) -> bool:
    """Whether an interrupted join is to be completed. Raises Refused for who is a member already."""
    if _waits(connection, group.id, account):
        return True
    if role_in(connection, group.id, account) is not None:
        raise RequestError(ErrorCode.CONFLICT, "a member already", "chat")
    return False


def _waits(connection: sa.Connection, number: ChatId, account: AccountId) -> bool:
    rows = sa.select(member.c.chat).where(member.c.chat == number, member.c.account == account, LIVE)
    return connection.execute(rows.where(member.c.unread_from.is_(None))).one_or_none() is not None


def _has_applied(connection: sa.Connection, number: ChatId, account: AccountId) -> bool:
    rows = sa.select(application.c.chat).where(application.c.chat == number, application.c.applicant == account)
    return connection.execute(rows).one_or_none() is not None


def _are_friends(connection: sa.Connection, asked: AddMember) -> bool:
    rows = sa.select(friendship.c.account).where(
        friendship.c.account == asked.actor, friendship.c.friend == asked.account
    )
    return connection.execute(rows).one_or_none() is not None


def _change(connection: sa.Connection, number: ChatId, now: int, newcomers: int = 0) -> None:
    """The membership has changed."""
    connection.execute(
        sa.update(chat)
        .where(chat.c.id == number)
        .values(
            version=chat.c.version + 1,
            size=chat.c.size + newcomers,
            seats=chat.c.seats + newcomers,
            updated=later(chat.c.updated, now),
        )
    )
