"""Chats and who is in them."""

from collections.abc import Sequence

import sqlalchemy as sa

from services.session.domain import LOBBY, LOBBY_NAME, default_name, no_account, not_yours
from services.session.store.profiles import friends_of
from services.session.store.rows import CHAT, LIVE, chat_of, insert, later, lock_living, touch
from services.session.tables import chat, member
from shared.contract.errors import ErrorCode, Refused
from shared.contract.ids import NOBODY, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, Role
from shared.contract.session import ChatEntry, ChatList, ChatView, CreateChat, GetMembership, Member, Membership
from shared.settings import Limits

_LAST = 2**63 - 1


def add_lobby(connection: sa.Connection, now: int) -> None:
    """Idempotent. Everybody may join it and nobody owns it."""
    values = _blank(LOBBY_NAME, NOBODY, now) | {"id": LOBBY, "join_policy": JoinPolicy.OPEN}
    connection.execute(insert(connection, chat).values(values).on_conflict_do_nothing())


def add_chat(
    connection: sa.Connection, request: CreateChat, members: Sequence[AccountId], limits: Limits, now: int
) -> Chat:
    """A new chat of these members, the owner first. Raises Refused when one is missing or the owner has too many."""
    nicknames = lock_living(connection, members)
    for account in members:
        if account not in nicknames:
            raise no_account(account, "members")
    has = connection.execute(_complete(request.actor).with_only_columns(sa.func.count())).scalar_one()
    if has >= limits.chats_per_account:
        raise Refused(ErrorCode.LIMIT, f"an account has at most {limits.chats_per_account} chats", "chats")
    name = request.name or default_name([nicknames[account] for account in members[:3]], limits.group_name_characters)
    values = _blank(name, request.actor, now) | {
        "join_policy": request.join_policy,
        "avatar": request.avatar,
        "avatar_hash": request.avatar_hash,
        "size": len(members),
        "seats": len(members),
    }
    made = chat_of(connection.execute(sa.insert(chat).values(values).returning(*CHAT)).one())
    _seat(connection, made, members)
    touch(connection, members, now)
    return made


def _seat(connection: sa.Connection, made: Chat, members: Sequence[AccountId]) -> None:
    rows = [
        _member(made.id, account, Role.MEMBER if seat else Role.OWNER, made.version) | {"seat": seat}
        for seat, account in enumerate(members)
    ]
    connection.execute(sa.insert(member), rows)


def join_lobby(connection: sa.Connection, account: AccountId, now: int) -> int | None:
    """The lobby's version that has the account in it; None when the account is deleted. The join is complete when
    `settle` has been told where its unread messages start."""
    version = _lock_version(connection, LOBBY)
    if not lock_living(connection, [account]):
        return None
    seat = sa.select(chat.c.seats).where(chat.c.id == LOBBY).scalar_subquery()
    row = _member(LOBBY, account, Role.MEMBER, version + 1) | {"seat": seat, "unread_from": None}
    joined = insert(connection, member).values(row).on_conflict_do_nothing().returning(member.c.account)
    if connection.execute(joined).one_or_none() is None:
        return version
    _change(connection, LOBBY, now, newcomers=1)
    touch(connection, [account], now)
    return version + 1


def settle(connection: sa.Connection, number: ChatId, account: AccountId, unread_from: int, now: int) -> int | None:
    """Complete a join; the chat's version that has it so, None when it was complete before."""
    version = _lock_version(connection, number) + 1
    waiting = sa.and_(member.c.chat == number, member.c.account == account, LIVE, member.c.unread_from.is_(None))
    completed = sa.update(member).where(waiting).values(unread_from=unread_from, version=version)
    if connection.execute(completed).rowcount == 0:
        return None
    _change(connection, number, now)
    return version


def version_of(connection: sa.Connection, number: ChatId) -> int:
    return connection.execute(_version(number)).scalar_one()


def view_chat(connection: sa.Connection, number: ChatId, actor: AccountId, most: int) -> ChatView:
    """For members only; the owner comes first, then all in order of joining. Raises Refused."""
    row = connection.execute(sa.select(*CHAT).where(chat.c.id == number)).one_or_none()
    if row is None:
        raise not_yours(ErrorCode.NOT_FOUND)
    asks = sa.select(member.c.account).where(member.c.chat == number, member.c.account == actor, LIVE)
    if connection.execute(asks).one_or_none() is None:
        raise not_yours(ErrorCode.FORBIDDEN)
    found = chat_of(row)
    first = [] if found.owner == NOBODY else [found.owner]
    others = sa.select(member.c.account).where(member.c.chat == number, LIVE, member.c.account != found.owner)
    listed = connection.execute(others.order_by(member.c.seat).limit(most - len(first))).scalars()
    return ChatView(found, first + [AccountId(account) for account in listed])


def chats_of(connection: sa.Connection, account: AccountId, most: int) -> list[ChatId]:
    """Ascending; when there are more, the newest."""
    newest = _complete(account).with_only_columns(member.c.chat).order_by(member.c.chat.desc()).limit(most)
    return [ChatId(number) for number in reversed(connection.execute(newest).scalars().all())]


def lists_of(connection: sa.Connection, account: AccountId, most: int) -> tuple[list[ChatId], list[AccountId]]:
    """An account's chats and friends."""
    return chats_of(connection, account, most), friends_of(connection, account, most)


def list_chats(connection: sa.Connection, account: AccountId, after: ChatId, most: int) -> ChatList:
    page = _complete(account).where(member.c.chat > after).order_by(member.c.chat).limit(most + 1)
    rows = connection.execute(page).all()
    return ChatList([ChatEntry(ChatId(row[0]), row[1], row[2]) for row in rows[:most]], more=len(rows) > most)


def membership(connection: sa.Connection, request: GetMembership, most: int) -> Membership:
    """Raises Refused when there is no such chat."""
    if (version := connection.execute(_version(request.chat)).scalar_one_or_none()) is None:
        raise not_yours(ErrorCode.NOT_FOUND)
    after = max(tuple(request.after), (request.since, _LAST))
    rows = connection.execute(
        sa.select(member.c.account, member.c.role, member.c.first_index, member.c.version, member.c.unread_from)
        .where(member.c.chat == request.chat, sa.tuple_(member.c.version, member.c.account) > after)
        .order_by(member.c.version, member.c.account)
        .limit(most + 1)
    ).all()
    members = [Member(AccountId(row[0]), Role(row[1]), row[2], row[3], row[4] or 0) for row in rows[:most]]
    return Membership(request.chat, version, members, more=len(rows) > most)


def _version(number: ChatId) -> sa.Select[int]:
    return sa.select(chat.c.version).where(chat.c.id == number)


def _lock_version(connection: sa.Connection, number: ChatId) -> int:
    """Hold the chat's row: nobody else changes its membership before this transaction ends."""
    return connection.execute(_version(number).with_for_update(key_share=True)).scalar_one()


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


def _complete(account: AccountId) -> sa.Select[int, int, int]:
    """The chats that an account is in, save one that it is just joining."""
    return sa.select(member.c.chat, member.c.first_index, member.c.unread_from).where(
        member.c.account == account, LIVE, member.c.unread_from.is_not(None)
    )


def _blank(name: str, owner: AccountId, now: int) -> dict[str, str | int]:
    return {
        "kind": ChatKind.GROUP, "name": name, "owner": owner, "avatar": "", "avatar_hash": "", "created": now,
        "updated": now, "version": 1, "size": 0, "seats": 0,
    }  # fmt: skip


def _member(number: ChatId, account: AccountId, role: Role, version: int) -> dict[str, object]:
    """Somebody who was there from the beginning."""
    return {
        "chat": number, "account": account, "role": role, "first_index": 1, "unread_from": 1, "version": version,
    }  # fmt: skip
