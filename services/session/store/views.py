"""Chats as a member sees them: with other members, profile summaries, and muted members. Lists of members."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET

from services.session import domain
from services.session.domain import ALWAYS, hidden_error
from services.session.store.bans import silences
from services.session.store.blocks import blocked_pairs
from services.session.store.chats import FINISHED, finished_memberships
from services.session.store.sql import CHAT, IS_MEMBER, chat_of, parse_pair
from services.session.tables import chat, member, profile
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import ListMembers, MemberList, MemberRole
from shared.contract.model import Chat, ChatKind, ProfileSummary, Role
from shared.contract.resume import fingerprint
from shared.contract.session import (
    ChatEntry,
    ChatList,
    ChatsFound,
    ChatView,
    ChatViews,
    ChatWithMembers,
    MarkReadTime,
    MemberSettings,
    MuteChat,
    PlaceChat,
    ReadTime,
)
from shared.names import plain_name

_CHATS = 500
_SUMMARIES = 10_000
"""The most profile summaries that the chats of a page have together. A single chat may have more."""


def view_chat(connection: sa.Connection, number: ChatId, actor: AccountId | None, limit: int) -> ChatView:
    """A chat with its first members: the owner, then the others by seat. Raises RequestError if the chat does not
    exist, or `actor` is no member of it. `actor` is None for an operator."""
    row = connection.execute(sa.select(*CHAT).where(chat.c.id == number)).one_or_none()
    if row is None:
        raise hidden_error(ErrorCode.NOT_FOUND)
    mute = None if actor is None else _settings_of(connection, number, actor)
    found = chat_of(row._mapping)
    first = [] if found.owner == NO_ACCOUNT else [found.owner]
    others = sa.select(member.c.account).where(member.c.chat == number, IS_MEMBER, member.c.account != found.owner)
    listed = connection.execute(others.order_by(member.c.seat).limit(limit - len(first))).scalars()
    return ChatView(found, first + [AccountId(account) for account in listed], mute)


def find_chats(connection: sa.Connection, account: AccountId, numbers: Sequence[int]) -> ChatsFound:
    """The chats among `numbers` of which the account is a member."""
    own = finished_memberships(account).with_only_columns(*CHAT, *_SETTINGS, member.c.role)
    own = own.join(chat, chat.c.id == member.c.chat).where(member.c.chat.in_(numbers))
    rows = connection.execute(own).all()
    found = [chat_of(row._mapping) for row in rows]
    settings = {one.id: MemberSettings(*row[len(CHAT) : -1]) for one, row in zip(found, rows, strict=True)}
    mutes = {number: one for number, one in settings.items() if one != _NO_SETTINGS}
    return ChatsFound(found, mutes, {ChatId(row.id): Role(row.role) for row in rows})


def list_chat_views(connection: sa.Connection, account: AccountId, after: ChatId, limit: int) -> ChatViews:
    """A page of an account's chats with at most `limit` members each: the owner, then the others by seat."""
    own = finished_memberships(account).with_only_columns(*CHAT, chat.c.size, chat.c.seats).join(chat)
    rows = connection.execute(own.where(member.c.chat > after).order_by(member.c.chat).limit(_CHATS + 1)).all()
    totals = accumulate(min(row.size, limit) for row in rows[:_CHATS])
    page = rows[: max(1, sum(total <= _SUMMARIES for total in totals))]
    chats = [chat_of(row._mapping) for row in page]
    summaries = _member_summaries(connection, chats, limit)
    return ChatViews([ChatWithMembers(one, summaries[one.id][:limit]) for one in chats], more=len(page) < len(rows))


def _member_summaries(
    connection: sa.Connection, chats: Sequence[Chat], limit: int
) -> dict[ChatId, list[ProfileSummary]]:
    """The profile summaries of at least `limit` members of each chat, or of all members of a smaller chat. Seats are
    never reused. So of the first `limit + seats - size` seats, at most `seats - size` belong to members that have
    left."""
    numbers = [one.id for one in chats]
    summary = sa.select(member.c.chat, profile.c.nickname, profile.c.uuid).where(member.c.chat.in_(numbers), IS_MEMBER)
    summary = summary.join(chat, chat.c.id == member.c.chat).join(profile, profile.c.id == member.c.account)
    owners = summary.where(member.c.account == chat.c.owner)
    others = summary.where(member.c.account != chat.c.owner, member.c.seat < limit + chat.c.seats - chat.c.size)
    summaries: dict[ChatId, list[ProfileSummary]] = defaultdict(list)
    for row in (*connection.execute(owners), *connection.execute(others.order_by(member.c.chat, member.c.seat))):
        summaries[ChatId(row.chat)].append(ProfileSummary(row.nickname, row.uuid))
    return summaries


_SHOWN = member.c.muted_until, member.c.mentions_only, member.c.pinned, member.c.archived
_SETTINGS = *_SHOWN, member.c.hidden
_NO_SETTINGS = MemberSettings()


def mute_chat(connection: sa.Connection, request: MuteChat) -> None:
    """Raises RequestError unless the actor is a member."""
    values = {"muted_until": min(request.until, ALWAYS), "mentions_only": request.mentions_only}
    _set(connection, request.chat, request.actor, values)


def place_chat(connection: sa.Connection, request: PlaceChat) -> MemberSettings:
    """Raises RequestError unless the actor is a member."""
    given = {"pinned": request.pinned, "archived": request.archived, "hidden": request.hidden}
    values = {name: value for name, value in given.items() if value is not UNSET}
    return _set(connection, request.chat, request.actor, values)


def mark_read_time(connection: sa.Connection, request: MarkReadTime) -> ReadTime:
    """Raises RequestError unless the actor is a member."""
    own = sa.and_(member.c.chat == request.chat, member.c.account == request.actor, IS_MEMBER)
    present = connection.execute(sa.select(member.c.read_time).where(own)).scalar_one_or_none()
    if present is None:
        raise hidden_error(ErrorCode.FORBIDDEN)
    if request.time <= present:
        return ReadTime(present)
    connection.execute(sa.update(member).where(own, member.c.read_time < request.time).values(read_time=request.time))
    return ReadTime(request.time)


def _set(connection: sa.Connection, number: ChatId, account: AccountId, values: Mapping[str, object]) -> MemberSettings:
    own = sa.and_(member.c.chat == number, member.c.account == account, IS_MEMBER)
    row = connection.execute(sa.update(member).where(own).values(values).returning(*_SETTINGS)).one_or_none()
    if row is None:
        raise hidden_error(ErrorCode.FORBIDDEN)
    return MemberSettings(*row)


def _settings_of(connection: sa.Connection, number: ChatId, account: AccountId) -> MemberSettings | None:
    """The account's settings of this chat, or None if it has none. The end of a mute can be in the past. Raises
    RequestError unless the account is a member."""
    own = sa.select(*_SETTINGS).where(member.c.chat == number, member.c.account == account, IS_MEMBER)
    if (row := connection.execute(own).one_or_none()) is None:
        raise hidden_error(ErrorCode.FORBIDDEN)
    settings = MemberSettings(*row)
    return None if settings == _NO_SETTINGS else settings


def _page() -> sa.Select[Any]:
    """The page as in services.session.store.chats. `updated` rises with each change of the chat's row or of a member's
    row. In a chat with two members, the profile is the other member's. The members of a group are not read."""
    account, other = sa.bindparam("account", type_=sa.BigInteger), member.alias("other")
    own = FINISHED.add_columns(*_SHOWN).where(member.c.account == account)
    own = own.where(member.c.chat > sa.bindparam("after")).order_by(member.c.chat)
    found = own.limit(sa.bindparam("limit", type_=sa.Integer)).subquery()
    # a dictionary is used, because SQLAlchemy would convert a tuple to text, and import the dialect of Oracle for that
    private = sa.case({chat.c.pair.is_not(None): chat.c.id})
    is_other = sa.and_(other.c.chat == private, other.c.account != account)
    rows = sa.join(found, chat, chat.c.id == found.c.chat).outerjoin(other, is_other)
    rows = rows.outerjoin(profile, profile.c.id == other.c.account)
    seen = [chat.c.pair, chat.c.updated, profile.c.nickname, profile.c.uuid, profile.c.public_updated]
    return sa.select(found, *seen).select_from(rows).order_by(found.c.chat)


_PAGE = _page()
_PAIR = len(_SHOWN)
"""The place of a chat's `pair` among the values of its state."""


def list_chats_with_states(connection: sa.Connection, account: AccountId, after: ChatId, limit: int) -> ChatList:
    """A page of the account's chats by id, after `after`."""
    rows = connection.execute(_PAGE, {"account": account, "after": after, "limit": limit + 1}).all()
    entries = [  # rows are unpacked, because values by name would take longer than everything else here
        ChatEntry(ChatId(number), first, unread, parse_pair(seen[_PAIR]), fingerprint(*seen))
        for number, first, unread, *seen in rows[:limit]
    ]
    return ChatList(entries, more=len(rows) > limit)


def find_receipt_chats(connection: sa.Connection, numbers: Sequence[int]) -> dict[ChatId, int]:
    """The chats among these with receipts, and their numbers of members."""
    columns = sa.select(chat.c.id, chat.c.size, chat.c.pair)
    shown = columns.where(chat.c.id.in_(numbers), chat.c.receipts.is_(True), chat.c.kind != ChatKind.SERVICE)
    rows = connection.execute(shown).all()
    pairs = {row.id: frozenset(parse_pair(row.pair) or ()) for row in rows}
    blocked = blocked_pairs(connection, frozenset().union(*pairs.values()))
    return {ChatId(row.id): row.size for row in rows if pairs[row.id] not in blocked}


# Members

_LOOKED_AT = 5_000
"""The most members that are examined for one page of a search."""
_Rows = Sequence[Any]
_SUMMARY = (profile.c.nickname, profile.c.avatar, profile.c.nick, profile.c.guest, profile.c.signature, profile.c.bot)


def list_members(connection: sa.Connection, request: ListMembers, limit: int) -> MemberList:
    """A page of the members, or of the changed members, ordered by account. Raises RequestError."""
    versions = sa.select(member.c.version, chat.c.version.label("present")).join(chat, chat.c.id == member.c.chat)
    own = sa.and_(member.c.chat == request.chat, member.c.account == request.actor, IS_MEMBER)
    found = connection.execute(versions.where(own)).one_or_none()
    if found is None:
        raise domain.hidden_error(ErrorCode.FORBIDDEN)
    since = request.since if found.version <= request.since <= found.present else 0
    silenced = silences(connection, request.chat)
    rows, after = (
        _named(connection, request, limit) if request.query else _members_page(connection, request, since, limit)
    )
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


def _members_page(connection: sa.Connection, request: ListMembers, since: int, limit: int) -> tuple[_Rows, AccountId]:
    return connection.execute(_listed(request, since).limit(limit + 1)).all(), NO_ACCOUNT


def _named(connection: sa.Connection, request: ListMembers, limit: int) -> tuple[_Rows, AccountId]:
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
