"""The members of chats and their roles."""

from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.store.bans import silences
from services.session.store.memberships import increment_version, lock_group
from services.session.store.sql import IS_MEMBER, lock_active, members_of, role_of, touch
from services.session.tables import chat, member, profile
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import ListMembers, MemberList, MemberRole, SetRole
from shared.contract.model import Role
from shared.contract.session import Member


class ChangedRoles(NamedTuple):
    """`changed`: each with the chat's new version; empty when the member has had this role. `recipients`: all members;
    None when there are many."""

    version: int
    changed: list[Member]
    recipients: list[AccountId] | None


def set_role(connection: sa.Connection, request: SetRole, now: int, broadcast_from: int) -> ChangedRoles:
    """From `broadcast_from` members on, the profiles' times of change do not move. Raises RequestError."""
    group = lock_group(connection, request.chat)
    present = role_of(connection, group.id, request.account)
    domain.check_can_set_role(role_of(connection, group.id, request.actor), present)
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
    """A page of the members, or of those that have changed, by account. Raises RequestError."""
    versions = sa.select(member.c.version, chat.c.version.label("present")).join(chat, chat.c.id == member.c.chat)
    own = sa.and_(member.c.chat == request.chat, member.c.account == request.actor, IS_MEMBER)
    found = connection.execute(versions.where(own)).one_or_none()
    if found is None:
        raise domain.hidden_error(ErrorCode.FORBIDDEN)
    since = request.since if found.version <= request.since <= found.present else 0
    silenced = silences(connection, request.chat)
    rows = connection.execute(_listed(request, since).limit(limit + 1)).all()
    listed = [
        MemberRole(AccountId(row.account), Role.LEFT)
        if row.role == Role.LEFT
        else MemberRole(AccountId(row.account), Role(row.role), silenced.get(row.account, 0), row.nickname, row.avatar)
        for row in rows[:limit]
    ]
    return MemberList(listed, len(rows) > limit, silenced.get(NO_ACCOUNT, 0), found.present, since)


def _listed(request: ListMembers, since: int) -> sa.Select[int, int, str, str]:
    """The members after an account; of changes, the expression that is no column makes databases read only these, by
    their version."""
    fields = sa.select(member.c.account, member.c.role, profile.c.nickname, profile.c.avatar)
    rows = fields.join(profile, profile.c.id == member.c.account).where(member.c.chat == request.chat)
    if not since:
        return rows.where(member.c.account > request.after, IS_MEMBER).order_by(member.c.account)
    account = member.c.account + 0
    return rows.where(member.c.version > since, account > request.after).order_by(account)
