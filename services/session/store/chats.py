"""Chats and who is in them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from services.session.domain import LOBBY, LOBBY_NAME, check_count, check_runs, default_name, not_yours, pair_of
from services.session.store.friends import friends_of
from services.session.store.memberships import groups_of, lock_group
from services.session.store.pending_notifications import keep_entrances
from services.session.store.sql import (
    CHAT,
    LIVE,
    chat_of,
    insert,
    key_of,
    later,
    lock_living,
    members_of,
    pair_in,
    require_living,
    role_in,
    touch,
)
from services.session.tables import chat, member, profile
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, MemberPair, Role
from shared.contract.session import (
    ChatEntry,
    ChatList,
    ChatView,
    CreateChat,
    GetMembership,
    Member,
    Membership,
    RenameChat,
)
from shared.settings import Limits

_LAST = 2**63 - 1
_COMPLETE = sa.select(member.c.chat, member.c.first_index, member.c.unread_from).where(
    LIVE, member.c.unread_from.is_not(None)
)


def _listed(members: sa.Select[Any], *order: sa.Column[int]) -> sa.Select[Any]:
    """A page of these, with their accounts. Chats are looked up after it is found, whatever the planner would rather
    do."""
    page = members.add_columns(member.c.account).order_by(*order).limit(sa.bindparam("most", type_=sa.Integer))
    found = page.subquery()
    listed = sa.select(found.c.chat, found.c.first_index, found.c.unread_from, chat.c.pair, found.c.account)
    return listed.join(chat, chat.c.id == found.c.chat).order_by(found.c.account, found.c.chat)


_PAGE = _listed(
    _COMPLETE.where(member.c.account == sa.bindparam("account"), member.c.chat > sa.bindparam("after")), member.c.chat
)
_PAGES = _listed(
    _COMPLETE.where(member.c.account.in_(sa.bindparam("accounts", expanding=True))), member.c.account, member.c.chat
)


class Founded(NamedTuple):
    """A new group; `kept`: the numbers of the notices to those who were put into it."""

    chat: Chat
    kept: dict[AccountId, int]


def add_lobby(connection: sa.Connection, now: int) -> None:
    """Idempotent. Everybody may join it and nobody owns it."""
    values = _blank(LOBBY_NAME, NO_ACCOUNT, now) | {"id": LOBBY, "join_policy": JoinPolicy.OPEN}
    connection.execute(insert(connection, chat).values(values).on_conflict_do_nothing())


def add_chat(
    connection: sa.Connection, request: CreateChat, members: Sequence[AccountId], limits: Limits, now: int
) -> Founded:
    """A new chat of these members, the owner first. Raises Refused when one is missing or the owner has too many."""
    nicknames = require_living(connection, members, "members")
    check_count(groups_of(connection, request.actor), limits)
    name = request.name or default_name([nicknames[account] for account in members[:3]], limits.group_name_characters)
    values = _blank(name, request.actor, now) | {
        "join_policy": request.join_policy,
        "avatar": request.avatar,
        "avatar_hash": request.avatar_hash,
    }
    made = _make(connection, values, [Role.OWNER] + [Role.MEMBER] * (len(members) - 1), members)
    touch(connection, members, now)
    return Founded(made, keep_entrances(connection, members[1:], made, now))


def find_private(connection: sa.Connection, pair: MemberPair) -> ChatId | None:
    """The private chat of two people who are both still there."""
    living = sa.select(sa.func.count()).where(profile.c.id.in_(pair), profile.c.deleted.is_(False))
    if connection.execute(living).scalar_one() < len(pair):
        return None
    number = connection.execute(sa.select(chat.c.id).where(chat.c.pair == key_of(pair))).scalar_one_or_none()
    return None if number is None else ChatId(number)


def open_private(connection: sa.Connection, pair: MemberPair, now: int) -> tuple[ChatId, Chat | None]:
    """The private chat of two people, made if there is none. Raises Refused when one of them is not there."""
    nicknames = require_living(connection, pair, "account")
    if (number := find_private(connection, pair)) is not None:
        return number, None
    values = _blank("、".join(nicknames[account] for account in pair), NO_ACCOUNT, now) | {
        "kind": ChatKind.PRIVATE, "join_policy": JoinPolicy.CLOSED, "pair": key_of(pair),
    }  # fmt: skip
    made = _make(connection, values, [Role.MEMBER] * 2, pair)
    touch(connection, pair, now)
    return made.id, made


def open_notices(
    connection: sa.Connection, accounts: Sequence[AccountId], now: int
) -> tuple[dict[AccountId, ChatId], dict[AccountId, Chat]]:
    """The chats in which the herald tells these accounts something, as far as they are there; and those of them that
    were made for it."""
    nicknames = lock_living(connection, [SYSTEM_ACCOUNT, *accounts])
    pairs = {key_of(pair_of(SYSTEM_ACCOUNT, account)): account for account in accounts if account in nicknames}
    rows = connection.execute(sa.select(chat.c.pair, chat.c.id).where(chat.c.pair.in_(pairs)))
    opened = {pairs[row.pair]: ChatId(row.id) for row in rows}
    new = {pair: account for pair, account in pairs.items() if account not in opened}
    made = _make_notices(connection, new, nicknames[SYSTEM_ACCOUNT], now) if new else {}
    touch(connection, list(made), now)
    return opened | {account: one.id for account, one in made.items()}, made


def _make_notices(
    connection: sa.Connection, accounts: Mapping[str, AccountId], name: str, now: int
) -> dict[AccountId, Chat]:
    """One for each pair with the herald, all of them in two statements; the caller touches the profiles."""
    values = _blank(name, SYSTEM_ACCOUNT, now) | {
        "kind": ChatKind.SERVICE, "join_policy": JoinPolicy.CLOSED, "size": 2, "seats": 2,
    }  # fmt: skip
    insertion = sa.insert(chat).returning(*CHAT, chat.c.pair)
    rows = connection.execute(insertion, [values | {"pair": pair} for pair in accounts])
    made = {accounts[row.pair]: chat_of(row._mapping) for row in rows}
    roles = (Role.OWNER, Role.MEMBER)
    seats = [row for account, one in made.items() for row in _seats(one, roles, (SYSTEM_ACCOUNT, account))]
    connection.execute(sa.insert(member), seats)
    return made


def _make(
    connection: sa.Connection, values: dict[str, object], roles: Sequence[Role], members: Sequence[AccountId]
) -> Chat:
    """A chat in which these members have been from the beginning; the caller touches their profiles."""
    counted = values | {"size": len(members), "seats": len(members)}
    made = chat_of(connection.execute(sa.insert(chat).values(counted).returning(*CHAT)).one()._mapping)
    connection.execute(sa.insert(member), _seats(made, roles, members))
    return made


def _seats(made: Chat, roles: Sequence[Role], members: Sequence[AccountId]) -> list[dict[str, int]]:
    return [
        {
            "chat": made.id, "account": account, "role": role, "seat": seat, "first_index": 1, "unread_from": 1,
            "version": made.version,
        }
        for seat, (account, role) in enumerate(zip(members, roles, strict=True))
    ]  # fmt: skip


def rename(connection: sa.Connection, asked: RenameChat, now: int, many: int) -> list[AccountId] | None:
    """Who is to be told; None when it is many. Raises Refused."""
    group = lock_group(connection, asked.chat)
    check_runs(role_in(connection, group.id, asked.actor))
    renamed = sa.update(chat).where(chat.c.id == group.id)
    connection.execute(renamed.values(name=asked.name, updated=later(chat.c.updated, now)))
    if group.size >= many:
        return None
    members = members_of(connection, group.id)
    lock_living(connection, members)
    touch(connection, members, now)
    return members


def version_of(connection: sa.Connection, number: ChatId) -> int:
    return connection.execute(_version(number)).scalar_one()


def view_chat(connection: sa.Connection, number: ChatId, actor: AccountId | None, most: int) -> ChatView:
    """For members only, or for no `actor` in particular; the owner comes first, then all in order of joining. Raises
    Refused."""
    row = connection.execute(sa.select(*CHAT).where(chat.c.id == number)).one_or_none()
    if row is None:
        raise not_yours(ErrorCode.NOT_FOUND)
    asks = sa.select(member.c.account).where(member.c.chat == number, member.c.account == actor, LIVE)
    if actor is not None and connection.execute(asks).one_or_none() is None:
        raise not_yours(ErrorCode.FORBIDDEN)
    found = chat_of(row._mapping)
    first = [] if found.owner == NO_ACCOUNT else [found.owner]
    others = sa.select(member.c.account).where(member.c.chat == number, LIVE, member.c.account != found.owner)
    listed = connection.execute(others.order_by(member.c.seat).limit(most - len(first))).scalars()
    return ChatView(found, first + [AccountId(account) for account in listed])


def chats_of(connection: sa.Connection, account: AccountId, most: int) -> list[ChatId]:
    """Ascending; when there are more, the newest."""
    newest = complete(account).with_only_columns(member.c.chat).order_by(member.c.chat.desc()).limit(most)
    return [ChatId(number) for number in reversed(connection.execute(newest).scalars().all())]


def lists_of(connection: sa.Connection, account: AccountId, most: int) -> tuple[list[ChatId], list[AccountId]]:
    """An account's chats and friends."""
    return chats_of(connection, account, most), friends_of(connection, account, most)


def list_chats(connection: sa.Connection, account: AccountId, after: ChatId, most: int) -> ChatList:
    rows = connection.execute(_PAGE, {"account": account, "after": after, "most": most + 1}).all()
    return ChatList(_entries(rows[:most]), more=len(rows) > most)


def list_several(
    connection: sa.Connection, page: Callable[[sa.Connection], ChatList], others: Sequence[AccountId], most: int
) -> ChatList:
    """A page of one account, and beside it the chats of as many others as have no more than `most` with it."""
    own = page(connection)
    return msgspec.structs.replace(own, also=_first_pages(connection, others, most - len(own.entries)))


def _first_pages(connection: sa.Connection, accounts: Sequence[AccountId], most: int) -> dict[AccountId, ChatList]:
    """All chats of as many of these accounts as have so many together."""
    rows = connection.execute(_PAGES, {"accounts": accounts, "most": most + 1}).all()
    found: dict[AccountId, list[Sequence[Any]]] = {account: [] for account in accounts}
    for row in rows:
        found[row.account].append(row)
    whole = rows[most].account if len(rows) > most else _LAST
    return {account: ChatList(_entries(own)) for account, own in found.items() if account < whole}


def _entries(rows: Iterable[Sequence[Any]]) -> list[ChatEntry]:
    return [ChatEntry(ChatId(row[0]), row[1], row[2], pair_in(row[3])) for row in rows]


def membership(connection: sa.Connection, request: GetMembership, most: int) -> Membership:
    """Raises Refused when there is no such chat."""
    speaker = sa.case((chat.c.kind == ChatKind.SERVICE, chat.c.owner), else_=NO_ACCOUNT)
    found = connection.execute(_version(request.chat).add_columns(chat.c.pair, speaker)).one_or_none()
    if found is None:
        raise not_yours(ErrorCode.NOT_FOUND)
    after = max(tuple(request.after), (request.since, _LAST))
    rows = connection.execute(
        sa.select(member.c.account, member.c.role, member.c.first_index, member.c.version, member.c.unread_from)
        .where(member.c.chat == request.chat, sa.tuple_(member.c.version, member.c.account) > after)
        .order_by(member.c.version, member.c.account)
        .limit(most + 1)
    ).all()
    members = [Member(AccountId(row[0]), Role(row[1]), row[2], row[3], row[4] or 0) for row in rows[:most]]
    pair = pair_in(found[1])
    return Membership(request.chat, found[0], members, more=len(rows) > most, pair=pair, speaker=found[2])


def _version(number: ChatId) -> sa.Select[int]:
    return sa.select(chat.c.version).where(chat.c.id == number)


def complete(account: AccountId) -> sa.Select[int, int, int]:
    """The chats that an account is in, save one that it is just joining."""
    return _COMPLETE.where(member.c.account == account)


def _blank(name: str, owner: AccountId, now: int) -> dict[str, object]:
    return {
        "kind": ChatKind.GROUP, "name": name, "owner": owner, "avatar": "", "avatar_hash": "", "created": now,
        "updated": now, "version": 1, "size": 0, "seats": 0,
    }  # fmt: skip
