"""Settings of groups that IRC calls modes, several in one transaction. Users by their names on IRC, open groups,
and the metadata of accounts and groups."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec.structs import replace

from services.session import domain
from services.session.domain import LOBBY, ascii_lower
from services.session.store import admission, bans, happenings, masks
from services.session.store.blocks import require_unblocked
from services.session.store.memberships import increment_version, lock_group, role_in
from services.session.store.sql import (
    CHAT,
    HAS_HANDLE,
    HAS_NICK,
    IS_MEMBER,
    LockedGroup,
    admins_of,
    chat_of,
    lock_active,
    members_of,
    parse_int,
    require_active,
    require_readers,
    role_of,
    touch,
    upsert,
)
from services.session.tables import ascii_lower as folded
from services.session.tables import chat, member, metadata_value, profile
from shared.contract.directory import FindByMask, FindNicks, GroupListed, GroupOfUser, ListGroups, UserFound
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import ChangeModes, Invite, ListMasks, Mask, ModeChange
from shared.contract.metadata import (
    MOST_KEYS,
    NO_CHAT,
    PROFILE_KEYS,
    ListMetadata,
    MetadataValue,
    SetMetadata,
    profile_values,
)
from shared.contract.model import ChatKind, JoinPolicy, Profile, Role
from shared.contract.session import Member
from shared.irc_names import full_mask, irc_names

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
    """An invitation by the owner or an admin is stored. In an open group, any member can invite, and the account is
    only notified, because a stored invitation overrules bans. Raises RequestError."""
    group = lock_group(connection, request.chat)
    role = role_of(connection, group.id, request.actor)
    if group.join_policy is not JoinPolicy.OPEN or role is None:
        domain.check_can_manage(role)
    require_active(connection, [request.account], "account")
    require_unblocked(connection, request.actor, [request.account], "account")
    require_readers(connection, [request.account], "account")
    if role_of(connection, group.id, request.account) is not None:
        raise domain.member_already()
    if role is not None and role > Role.MEMBER:
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


# Users and groups by their names

_NUMBERED = re.compile(r".*\|([0-9]{1,18})")
_USERS = 500
_LOOKED_AT = 20_000
_PAGE = 200
_PUBLIC = sa.and_(chat.c.join_policy == JoinPolicy.OPEN, ~chat.c.modes.contains("s"), HAS_HANDLE)


def find_nicks(connection: sa.Connection, request: FindNicks) -> list[UserFound]:
    numbers = {nick: int(match[1]) for nick in request.nicks if (match := _NUMBERED.fullmatch(nick))}
    named = sa.and_(folded(profile.c.nick).in_([ascii_lower(nick) for nick in request.nicks]), HAS_NICK)
    numbered = sa.and_(profile.c.id.in_(numbers.values()), profile.c.nick == "")
    rows = connection.execute(sa.select(profile).where(profile.c.deleted.is_(False), sa.or_(named, numbered)))
    profiles = [Profile(**row) for row in rows.mappings()]
    by_nick = {ascii_lower(one.nick): one for one in profiles if one.nick}
    by_number = {one.id: one for one in profiles if not one.nick}
    found = [by_nick.get(ascii_lower(nick)) or by_number.get(AccountId(numbers.get(nick, 0))) for nick in request.nicks]
    return [
        UserFound(one, _groups(connection, one.id, request.actor) if request.groups else ())
        for one in found
        if one is not None
    ]


def _groups(connection: sa.Connection, account: AccountId, actor: AccountId) -> tuple[GroupOfUser, ...]:
    own = sa.select(member.c.chat).where(member.c.account == actor, IS_MEMBER)
    rows = sa.select(*CHAT, member.c.role, member.c.speaker).join(member, member.c.chat == chat.c.id)
    rows = rows.where(member.c.account == account, IS_MEMBER, chat.c.kind == ChatKind.GROUP)
    known = rows.where(sa.or_(chat.c.id.in_(own), _PUBLIC)).order_by(chat.c.id).limit(_PAGE)
    return tuple(GroupOfUser(chat_of(row._mapping), Role(row.role), row.speaker) for row in connection.execute(known))


def find_by_mask(connection: sa.Connection, request: FindByMask, server: str) -> list[UserFound]:
    own = sa.select(member.c.chat).where(member.c.account == request.actor, member.c.chat != LOBBY, IS_MEMBER)
    known = sa.select(member.c.account).where(member.c.chat.in_(own), IS_MEMBER).distinct().limit(_LOOKED_AT)
    rows = connection.execute(sa.select(profile).where(profile.c.id.in_(known)).order_by(profile.c.id))
    fits = masks.pattern(request.mask).fullmatch
    profiles = (Profile(**row) for row in rows.mappings())
    matching = (one for one in profiles if any(fits(ascii_lower(name)) for name in _names(one, server)))
    return [UserFound(one) for one, _ in zip(matching, range(_USERS), strict=False)]


def _names(one: Profile, server: str) -> Iterable[str]:
    name = irc_names(one.id, one.nickname, one.nick, one.guest, server)
    return (*name, name.mask, one.signature if one.guest else one.nickname)


def list_groups(connection: sa.Connection, request: ListGroups) -> tuple[Sequence[GroupListed], bool]:
    own = sa.select(member.c.chat).where(member.c.account == request.actor, IS_MEMBER)
    shown = sa.or_(_PUBLIC, sa.and_(chat.c.id.in_(own), HAS_HANDLE))
    named: sa.Select[Any] = sa.select(*CHAT, chat.c.size).where(chat.c.kind == ChatKind.GROUP, shown)
    after, unnamed = ascii_lower(request.after), []
    if not after:
        unlisted = sa.select(*CHAT, chat.c.size).where(chat.c.id.in_(own), chat.c.kind == ChatKind.GROUP)
        unnamed = list(connection.execute(unlisted.where(chat.c.handle == "").order_by(chat.c.id).limit(_PAGE)))
    order = folded(chat.c.handle)
    rows = connection.execute(named.where(order > after).order_by(order).limit(_PAGE + 1)).all()
    listed = [GroupListed(chat_of(row._mapping), row.size) for row in (*unnamed, *rows[:_PAGE])]
    return listed, len(rows) > _PAGE


# Metadata

_MOST_LISTED = 500
_VALUE = metadata_value.c.account, metadata_value.c.chat, metadata_value.c.key, metadata_value.c.value


def list_metadata(connection: sa.Connection, request: ListMetadata) -> list[MetadataValue]:
    """Raises RequestError."""
    if request.chat:
        is_member = _check_readable(connection, request.chat, request.actor)
        owner = _of(NO_ACCOUNT, request.chat)
    else:
        is_member, owner = False, _of(request.account, NO_CHAT)
    found = [_select(owner, request.keys)]
    named: list[sa.ColumnElement[bool]] = [] if request.chat else [profile.c.id == request.account]
    if is_member and request.members:
        members = sa.select(member.c.account).where(member.c.chat == request.chat, IS_MEMBER)
        found.append(
            _select(sa.and_(metadata_value.c.account.in_(members), metadata_value.c.chat == NO_CHAT), request.keys)
        )
        named.append(profile.c.id.in_(members))
    stored = [
        MetadataValue(AccountId(row.account), ChatId(row.chat), row.key, row.value)
        for one in found
        for row in connection.execute(one)
    ]
    wanted = [key for key in PROFILE_KEYS if not request.keys or key in request.keys]
    return [*stored, *[one for each in named if wanted for one in _of_profiles(connection, each, wanted)]]


def _of_profiles(
    connection: sa.Connection, named: sa.ColumnElement[bool], wanted: Sequence[str]
) -> Iterator[MetadataValue]:
    """The values that are in profiles."""
    names = sa.select(profile.c.id, profile.c.nickname, profile.c.nick, profile.c.avatar)
    names = names.where(named, profile.c.guest == "", profile.c.deleted.is_(False)).order_by(profile.c.id)
    for row in connection.execute(names.limit(_MOST_LISTED)):
        nick = irc_names(row.id, row.nickname, row.nick, "", "").nick
        values = profile_values(nick, row.nickname, row.avatar)
        for key in wanted:
            if values[key]:
                yield MetadataValue(AccountId(row.id), NO_CHAT, key, values[key])


def _select(owner: sa.ColumnElement[bool], keys: tuple[str, ...]) -> sa.Select[int, int, str, str]:
    rows = sa.select(*_VALUE).where(owner)
    rows = rows.where(metadata_value.c.key.in_(keys)) if keys else rows
    return rows.order_by(metadata_value.c.account, metadata_value.c.key).limit(_MOST_LISTED)


def _of(account: AccountId, number: ChatId) -> sa.ColumnElement[bool]:
    return sa.and_(metadata_value.c.account == account, metadata_value.c.chat == number)


def _check_readable(connection: sa.Connection, number: ChatId, actor: AccountId) -> bool:
    """Checks that the actor may read the group's metadata: the actor is a member, or the group can be found and joined.
    Returns whether the actor is a member. Raises RequestError."""
    if role_of(connection, number, actor) is not None:
        return True
    row = connection.execute(
        sa.select(chat.c.id).where(
            chat.c.id == number, chat.c.kind == ChatKind.GROUP, chat.c.join_policy == JoinPolicy.OPEN,
            chat.c.join_key == "", ~chat.c.modes.contains("s"),
        )
    ).first()  # fmt: skip
    if row is None:
        raise domain.hidden_error(ErrorCode.FORBIDDEN)
    return False


def set_metadata(connection: sa.Connection, request: SetMetadata) -> list[MetadataValue]:
    """Sets a value. Returns the values that have changed. Raises RequestError."""
    if request.chat:
        group = lock_group(connection, request.chat)
        domain.check_can_manage(role_of(connection, group.id, request.actor))
        account = NO_ACCOUNT
    else:
        domain.check_own(request.actor, request.account)
        account = request.account
        if not lock_active(connection, [account]):
            raise domain.account_not_found(account)
    owner = _of(account, request.chat)
    present = {row.key: row.value for row in connection.execute(_select(owner, ()))}
    if not request.value:
        gone = [request.key] if request.key else list(present)
        connection.execute(sa.delete(metadata_value).where(owner, metadata_value.c.key.in_(gone)))
        return [MetadataValue(account, request.chat, key, "") for key in gone if key in present]
    if request.key not in present:
        domain.check_count(len(present), MOST_KEYS, "at most {} keys", "key")
    if present.get(request.key) == request.value:
        return []
    values = {"account": account, "chat": request.chat, "key": request.key, "value": request.value}
    upsert(connection, metadata_value, [values])
    return [MetadataValue(account, request.chat, request.key, request.value)]
