"""Moderation of a group by its owner and admins: roles, bans, silences, and the end of the group. Reports of messages
to the operator."""

from typing import NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.store import bans
from services.session.store.departures import (
    LeftChat,
    LockedChat,
    delete_rows,
    end_memberships,
    record,
    reject_requests,
)
from services.session.store.memberships import (
    delete_requests,
    increment_version,
    lock_group,
    lock_managed_group,
    role_in,
)
from services.session.store.sql import IS_MEMBER, later, lock_active, members_of, require_active, role_of, touch
from services.session.tables import chat, member, report
from shared.contract.admin import OwnReport, Report, ReportMessage
from shared.contract.edge import MembershipAnswered
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import BanList, BanMember, DisbandChat, ListBans, SetRole, SilenceMember, UnbanMember
from shared.contract.model import JoinPolicy, Message, Role
from shared.contract.session import Member
from shared.settings.limits import GroupLimits
from shared.sql import insert


class BannedMember(NamedTuple):
    """The result of a ban. `version`: the chat's version. `left`: the end of the membership; None if the account was no
    member."""

    version: int
    left: LeftChat | None


class DisbandedChat(NamedTuple):
    """A disbanded group. `rejected`: the requests for membership that were pending."""

    version: int
    former_members: list[AccountId]
    rejected: list[MembershipAnswered]


def ban_member(
    connection: sa.Connection, request: BanMember, limits: GroupLimits, now: int, broadcast_from: int
) -> BannedMember:
    """Bans an account, and ends its membership. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    role = role_of(connection, group.id, request.account)
    left = None
    version = group.version
    if role is None:
        if bans.banned_until(connection, group.id).get(request.account) != (request.until or domain.ALWAYS):
            increment_version(connection, group.id, now)
            version += 1
        changed = [request.account]
    else:
        domain.check_outranks(role_in(connection, group, request.actor), role)
        locked = LockedChat(group.id, group.owner, group.version, group.size)
        (left,) = end_memberships(connection, request.account, [locked], now, broadcast_from)
        left = record(connection, left, request.actor, request.account, now)
        changed = [request.account, *(left.members or ())]
    if request.account not in lock_active(connection, changed):
        raise domain.account_not_found(request.account)
    if left is not None:
        touch(connection, changed, now)
    delete_requests(connection, group.id, [request.account])
    bans.store_ban(connection, request, limits, now)
    return BannedMember(version if left is None else left.version, left)


def unban_member(connection: sa.Connection, request: UnbanMember, now: int) -> int:
    """Deletes a ban. Returns the chat's version. Raises RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    if not bans.delete_ban(connection, group.id, request.account):
        return group.version
    increment_version(connection, group.id, now)
    return group.version + 1


def list_bans(connection: sa.Connection, request: ListBans, now: int) -> BanList:
    """Raises RequestError."""
    domain.check_can_manage(role_of(connection, request.chat, request.actor))
    return BanList(bans.list_bans(connection, request.chat, now))


def silence_member(connection: sa.Connection, request: SilenceMember, limits: GroupLimits, now: int) -> int:
    """Silences a member. Returns the chat's version, which is new if this call changes the member. Raises
    RequestError."""
    group = lock_managed_group(connection, request.chat, request.actor)
    if request.account != NO_ACCOUNT:
        role = role_of(connection, group.id, request.account)
        domain.check_outranks(role_in(connection, group, request.actor), role)
    if bans.silences(connection, group.id).get(request.account, 0) == min(request.until, domain.ALWAYS):
        return group.version
    if request.account != NO_ACCOUNT:
        own = sa.and_(member.c.chat == group.id, member.c.account == request.account)
        connection.execute(sa.update(member).where(own).values(version=group.version + 1))
    bans.store_silence(connection, request, limits, now)
    increment_version(connection, group.id, now)
    return group.version + 1


def disband(connection: sa.Connection, request: DisbandChat, now: int, broadcast_from: int) -> DisbandedChat:
    """Disbands a group. If it has `broadcast_from` or more members, the members' times of change stay the same. Raises
    RequestError."""
    group = lock_group(connection, request.chat)
    domain.check_is_owner(role_in(connection, group, request.actor))
    members, version = members_of(connection, group.id), group.version + 1
    left = sa.update(member).where(member.c.chat == group.id, IS_MEMBER)
    connection.execute(left.values(role=Role.LEFT, version=version))
    ended = {"version": version, "size": 0, "owner": NO_ACCOUNT, "join_policy": JoinPolicy.CLOSED, "handle": ""}
    connection.execute(sa.update(chat).where(chat.c.id == group.id).values(**ended, updated=later(chat.c.updated, now)))
    rejected = reject_requests(connection, [group.id], now)
    delete_rows(connection, [group.id], is_disbanded=True)
    if group.size < broadcast_from:
        lock_active(connection, members)
        touch(connection, members, now)
    return DisbandedChat(version, members, rejected)


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


# Reports

_REPORT_FIELDS = [report.c[field] for field in Report.__struct_fields__]


def store_report(
    connection: sa.Connection, request: ReportMessage, message: Message, limits: GroupLimits, now: int
) -> bool:
    """Store the report. Returns False if the actor has reported this message before. Locks the reporter's profile, so
    that two reports are not counted at the same time. Raises RequestError at the limit, and for a deleted account."""
    require_active(connection, [request.actor], "actor")
    others = sa.select(sa.func.count()).where(
        report.c.reporter == request.actor, sa.or_(report.c.chat != message.chat, report.c.index != message.index)
    )
    rule = "at most {} reports may be open"
    domain.check_count(connection.execute(others).scalar_one(), limits.reports_per_account, rule, "reports")
    values = {
        "chat": message.chat, "index": message.index, "sender": message.sender, "sent": message.time,
        "body": message.body, "reporter": request.actor, "reason": request.reason, "reported": now,
    }  # fmt: skip
    stored = insert(connection, report).values(values).on_conflict_do_nothing().returning(report.c.number)
    return connection.execute(stored).one_or_none() is not None


def list_open_reports(connection: sa.Connection, after: int, count: int) -> list[Report]:
    rows = sa.select(*_REPORT_FIELDS).where(report.c.number > after).order_by(report.c.number).limit(count)
    return [Report(**row) for row in connection.execute(rows).mappings()]


def list_reports_of(connection: sa.Connection, reporter: AccountId) -> list[OwnReport]:
    """The reports that this account has made, oldest first."""
    fields = [report.c[field] for field in OwnReport.__struct_fields__]
    rows = sa.select(*fields).where(report.c.reporter == reporter).order_by(report.c.number)
    return [OwnReport(*row) for row in connection.execute(rows)]


def close_report(connection: sa.Connection, number: int) -> None:
    """Raises RequestError."""
    if connection.execute(sa.delete(report).where(report.c.number == number)).rowcount == 0:
        raise RequestError(ErrorCode.NOT_FOUND, f"there is no report {number}", "number")
