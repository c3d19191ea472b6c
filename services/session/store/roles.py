"""The members of chats and their roles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.store.bans import silences
from services.session.store.memberships import increment_version, lock_group, role_in
from services.session.store.sql import IS_MEMBER, lock_active, members_of, role_of, touch
from services.session.tables import chat, member, profile
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import ListMembers, MemberList, MemberRole, SetRole
from shared.contract.model import Role
from shared.contract.session import Member
from shared.names import plain_name

_LOOKED_AT = 5_000
"""The most members that are examined for one page of a search."""
Rows = Sequence[Any]
_SUMMARY = (profile.c.nickname, profile.c.avatar, profile.c.nick, profile.c.guest, profile.c.signature, profile.c.bot)


class ChangedRoles(NamedTuple):
    """The result of a change of roles. `changed`: the changed members, each with the chat's new version; empty if the
    member already had this role. `recipients`: all members; None if there are many."""

    version: int
    changed: list[Member]
    recipients: list[AccountId] | None


def set_role(connection: sa.Connection, request: SetRole, now: int, broadcast_from: int) -> ChangedRoles:
    """Sets a role. In a group with `broadcast_from` or more members, the profiles' times of change stay the same.
    Raises RequestError."""
    group = lock_group(connection, request.chat)
    present = role_of(connection, group.id, request.account)
    domain.check_can_set_role(role_in(connection, group, request.actor), present)
    if request.role is Role.OWNER and group.ownerless:
        raise domain.nobody_owns()
    if present is request.role:
        return ChangedRoles(group.version, [], None)
    version = group.version + 1
    changed = [_change(connection, request, request.account, request.role, version)]
    if request.role is Role.OWNER:
        changed.append(_change(connection, request, request.actor, Role.ADMIN, version))
        connection.execute(sa.update(chat).where(chat.c.id == group.id).values(owner=request.account))
    increment_version(connection, group.id, now)
    recipients = members_of(connection, group.id) if group.size < broadcast_from else None
    if recipients is not None:
        lock_active(connection, recipients)
        touch(connection, recipients, now)
    return ChangedRoles(version, changed, recipients)


def _change(connection: sa.Connection, request: SetRole, account: AccountId, role: Role, version: int) -> Member:
    own = sa.and_(member.c.chat == request.chat, member.c.account == account)
    change = sa.update(member).where(own).values(role=role, version=version)
    row = connection.execute(change.returning(member.c.first_index, member.c.unread_from)).one()
    return Member(account, role, row.first_index, version, row.unread_from or 0)


def list_members(connection: sa.Connection, request: ListMembers, limit: int) -> MemberList:
    """A page of the members, or of the changed members, ordered by account. Raises RequestError."""
    versions = sa.select(member.c.version, chat.c.version.label("present")).join(chat, chat.c.id == member.c.chat)
    own = sa.and_(member.c.chat == request.chat, member.c.account == request.actor, IS_MEMBER)
    found = connection.execute(versions.where(own)).one_or_none()
    if found is None:
        raise domain.hidden_error(ErrorCode.FORBIDDEN)
    since = request.since if found.version <= request.since <= found.present else 0
    silenced = silences(connection, request.chat)
    rows, after = _named(connection, request, limit) if request.query else _page(connection, request, since, limit)
    listed = [
        MemberRole(AccountId(row.account), Role.LEFT)
        if row.role == Role.LEFT
        else _member_role(row, silenced.get(row.account, 0))
        for row in rows[:limit]
    ]
    since = 0 if request.query else since
    more = len(rows) > limit or after != NO_ACCOUNT
    return MemberList(listed, more, silenced.get(NO_ACCOUNT, 0), found.present, since, after)


def _member_role(row: Any, silenced: int) -> MemberRole:
    real_name = row.signature if row.guest else ""
    return MemberRole(
        AccountId(row.account), Role(row.role), silenced, row.nickname, row.avatar, row.nick, row.guest, real_name,
        row.speaker, row.bot,
    )  # fmt: skip


def _page(connection: sa.Connection, request: ListMembers, since: int, limit: int) -> tuple[Rows, AccountId]:
    return connection.execute(_listed(request, since).limit(limit + 1)).all(), NO_ACCOUNT


def _named(connection: sa.Connection, request: ListMembers, limit: int) -> tuple[Rows, AccountId]:
    """The members whose nicknames begin with the query, and the last account that was examined; NO_ACCOUNT if there are
    no further members."""
    own = sa.select(member.c.account, member.c.role, member.c.speaker).where(member.c.chat == request.chat, IS_MEMBER)
    own = own.where(member.c.account > request.after).order_by(member.c.account).limit(_LOOKED_AT)
    some = own.subquery()
    rows = sa.select(some, *_SUMMARY).join(profile, profile.c.id == some.c.account)
    rows = rows.where(sa.or_(*(profile.c.nickname.istartswith(one, autoescape=True) for one in _cases(request.query))))
    found = connection.execute(rows.order_by(some.c.account).limit(limit + 1)).all()
    if len(found) > limit:
        return found, AccountId(found[limit - 1].account)
    looked_at, last = connection.execute(sa.select(sa.func.count(), sa.func.max(some.c.account))).one()
    return found, AccountId(last) if looked_at == _LOOKED_AT else NO_ACCOUNT


def _cases(query: str) -> set[str]:
    """The usual spellings of the query. They are needed because SQLite, and PostgreSQL with some collations, compare
    without regard to case only in ASCII."""
    name = plain_name(query)
    return {name, name.lower(), name.upper(), name.capitalize(), name.title()}


def _listed(request: ListMembers, since: int) -> sa.Select[Any]:
    """Selects the members after an account, or only the changed ones. For changed members, the condition on the account
    is an expression instead of a column. So databases use the index of versions, and read only the changed members."""
    fields = sa.select(member.c.account, member.c.role, member.c.speaker, *_SUMMARY)
    rows = fields.join(profile, profile.c.id == member.c.account).where(member.c.chat == request.chat)
    if not since:
        return rows.where(member.c.account > request.after, IS_MEMBER).order_by(member.c.account)
    account = member.c.account + 0
    return rows.where(member.c.version > since, account > request.after).order_by(account)
