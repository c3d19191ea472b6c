"""Changes the settings of a group that IRC calls modes, several in one transaction."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa
from msgspec.structs import replace

from services.session import domain
from services.session.store import admission, bans, happenings, masks
from services.session.store.blocks import require_unblocked
from services.session.store.memberships import increment_version, lock_group, role_in
from services.session.store.sql import (
    IS_MEMBER,
    LockedGroup,
    admins_of,
    lock_active,
    members_of,
    parse_int,
    require_active,
    require_readers,
    role_of,
    touch,
)
from services.session.tables import chat, member
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.members import ChangeModes, Invite, ListMasks, Mask, ModeChange
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import Member
from shared.irc_names import full_mask

_FLAGS = frozenset("ntsC")
_MOST_LIMIT = 2**31 - 1
_KEY = re.compile(r"(?!:)[!-+\--~]{1,23}")
_MASK = re.compile(r"(?!:)[^\s\x00-\x20\x7f]{1,200}")
"""The forms of a key and of a mask. Each must be one word of a line of IRC."""


_ROLES = {"q": Role.OWNER, "o": Role.ADMIN}


class ChangedModes(NamedTuple):
    """The result of a change of modes. `changes`: the changes that had an effect. `roles`: the members with a new role.
    `recipients`: None for a large group."""

    version: int
    changes: list[ModeChange]
    roles: list[Member]
    recipients: list[AccountId] | None
    name: str
    time: int = 0


def change_modes(
    connection: sa.Connection, request: ChangeModes, now: int, broadcast_from: int, server: str
) -> ChangedModes:
    """Raises RequestError."""
    group = lock_group(connection, request.chat)
    domain.check_can_manage(role_of(connection, group.id, request.actor))
    change = _Change(connection, group, request.actor, now, server)
    applied = [one for each in request.changes for one in change.apply(each)]
    if change.values:
        connection.execute(sa.update(chat).where(chat.c.id == group.id).values(change.values))
    time = 0
    if applied:
        increment_version(connection, group.id, now)
        time = happenings.record_modes(connection, group.id, now, request.actor, applied)
    recipients = members_of(connection, group.id) if group.size < broadcast_from else None
    if change.roles and recipients is not None:
        lock_active(connection, recipients)
        touch(connection, recipients, now)
    version = change.version if applied else group.version
    return ChangedModes(version, applied, change.roles, recipients, group.name, time)


class InvitedAccount(NamedTuple):
    version: int
    name: str
    handle: str
    admins: list[AccountId]


def invite(connection: sa.Connection, request: Invite, until: int, now: int) -> InvitedAccount:
    """Raises RequestError."""
    group = lock_group(connection, request.chat)
    role = role_of(connection, group.id, request.actor)
    if group.join_policy is not JoinPolicy.OPEN or role is None:
        domain.check_can_manage(role)
    require_active(connection, [request.account], "account")
    require_unblocked(connection, request.actor, [request.account], "account")
    require_readers(connection, [request.account], "account")
    if role_of(connection, group.id, request.account) is not None:
        raise domain.member_already()
    admission.invite(connection, group.id, request.account, until, now)
    return InvitedAccount(group.version, group.name, group.handle, admins_of(connection, group.id))


def list_masks(connection: sa.Connection, request: ListMasks) -> list[Mask]:
    """Raises RequestError."""
    role = role_of(connection, request.chat, request.actor)
    if role is None or request.kind != "b":
        domain.check_can_manage(role)
    return masks.list_masks(connection, request.chat, request.kind)


def _word(form: re.Pattern[str], field: str, text: str) -> str:
    if form.fullmatch(text) is None:
        raise RequestError(ErrorCode.INVALID, f"this cannot be a {field}", field)
    return text


def _most_members(text: str) -> int:
    if not (number := parse_int(text)):
        raise RequestError(ErrorCode.INVALID, "a group has at least one member", "members")
    return min(number, _MOST_LIMIT)


class _Change:
    def __init__(self, connection: sa.Connection, group: LockedGroup, actor: AccountId, now: int, server: str) -> None:
        self._connection = connection
        self._group = group
        self._actor = actor
        self._now = now
        self._server = server
        self._modes = connection.execute(sa.select(chat.c.modes).where(chat.c.id == group.id)).scalar_one()
        self.version = group.version + 1
        self.values: dict[str, object] = {}
        self.roles: list[Member] = []

    def apply(self, one: ModeChange) -> Iterator[ModeChange]:
        """Apply one change. Yields the change in the form in which members are notified, if it had an effect."""
        match one.mode:
            case "q" | "o":
                changed = self._set_role(one)
            case "v":
                changed = self._set_speaker(one)
            case "b" | "e" | "I":
                one = replace(one, text=full_mask(_word(_MASK, "mask", one.text)))
                changed = self._set_mask(one)
            case "i":
                changed = self._set(join_policy=JoinPolicy.CLOSED if one.on else JoinPolicy.OPEN)
                one = replace(one, text="")
            case "k":
                changed = self._set(join_key=_word(_KEY, "key", one.text) if one.on else "")
                one = one if one.on else replace(one, text="*")
            case "l":
                changed = self._set(most_members=_most_members(one.text) if one.on else 0)
                one = one if one.on else replace(one, text="")
            case "m":
                changed = bans.silence_all(self._connection, self._group.id, self._now, on=one.on)
                one = replace(one, text="")
            case flag if flag in _FLAGS:
                present = str(self._modes).replace(flag, "") + (flag if one.on else "")
                changed = self._set(modes="".join(sorted(present)))
                self._modes = present
                one = replace(one, text="")
            case _:
                raise RequestError(ErrorCode.INVALID, "there is no such mode", "modes")
        if changed:
            yield one

    def _set(self, **values: object) -> bool:
        [(name, value)] = values.items()
        before = self.values.get(name)
        if before is None:
            before = self._connection.execute(sa.select(chat.c[name]).where(chat.c.id == self._group.id)).scalar_one()
        if name == "modes":
            before = "".join(sorted(str(before)))
        self.values[name] = value
        return before != value

    def _set_mask(self, one: ModeChange) -> bool:
        if not one.on:
            return masks.remove(self._connection, self._group.id, one.mode, one.text)
        by = masks.full_name(self._connection, self._actor, self._server)
        return masks.add(self._connection, self._group.id, one.mode, one.text, by, self._now)

    def _set_role(self, one: ModeChange) -> bool:
        account, role = self._member(one), self._role(one)
        present = role_of(self._connection, self._group.id, account)
        if account != self._actor or one.on:
            domain.check_can_set_role(role_in(self._connection, self._group, self._actor), present)
        if present is None or present is Role.OWNER or (present >= role if one.on else present is not _ROLES[one.mode]):
            return False
        self._change_member(account, role=role)
        if role is Role.OWNER:
            self._change_member(self._actor, role=Role.ADMIN)
            self.values["owner"] = account
        return True

    def _role(self, one: ModeChange) -> Role:
        if one.mode == "q" and self._group.ownerless:
            raise domain.nobody_owns()
        return _ROLES[one.mode] if one.on else Role.MEMBER

    def _set_speaker(self, one: ModeChange) -> bool:
        account = self._member(one)
        own = sa.and_(member.c.chat == self._group.id, member.c.account == account, member.c.speaker.is_not(one.on))
        change = sa.update(member).where(own, IS_MEMBER).values(speaker=one.on, version=self.version)
        return self._connection.execute(change).rowcount > 0

    def _member(self, one: ModeChange) -> AccountId:
        account = AccountId(parse_int(one.text))
        if role_of(self._connection, self._group.id, account) is None:
            raise domain.not_a_member()
        return account

    def _change_member(self, account: AccountId, **values: object) -> None:
        own = sa.and_(member.c.chat == self._group.id, member.c.account == account)
        changed = sa.update(member).where(own).values(**values, version=self.version)
        row = self._connection.execute(changed.returning(member.c.role, member.c.first_index, member.c.unread_from))
        role, first_index, unread_from = row.one()
        self.roles.append(Member(account, Role(role), first_index, self.version, unread_from or 0))
