"""Finds users by their names on IRC, and open groups."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from services.session.domain import LOBBY, ascii_lower
from services.session.store.masks import pattern
from services.session.store.sql import CHAT, HAS_HANDLE, HAS_NICK, IS_MEMBER, chat_of
from services.session.tables import ascii_lower as folded
from services.session.tables import chat, member, profile
from shared.contract.directory import FindByMask, FindNicks, GroupListed, GroupOfUser, ListGroups, UserFound
from shared.contract.ids import AccountId
from shared.contract.model import ChatKind, JoinPolicy, Profile, Role
from shared.irc_names import irc_names

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
    fits = pattern(request.mask).fullmatch
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
