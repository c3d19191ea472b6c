"""Bans and silences of groups. Each function that writes is called with the chat's row locked."""

from collections.abc import Sequence

import sqlalchemy as sa

from services.session.domain import ALWAYS
from services.session.store.sql import check_room, upsert
from services.session.tables import ban, silence
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import Ban, BanMember, SilenceMember
from shared.settings.limits import GroupLimits


def store_ban(connection: sa.Connection, request: BanMember, limits: GroupLimits, now: int) -> None:
    """Stores a ban. Raises RequestError at the limit."""
    connection.execute(sa.delete(ban).where(ban.c.chat == request.chat, ban.c.until <= now))
    others = sa.and_(ban.c.chat == request.chat, ban.c.account != request.account)
    check_room(connection, others, limits.bans_per_group, "a group bans at most {} accounts")
    values = {"chat": request.chat, "account": request.account, "until": request.until or ALWAYS, "by": request.actor}
    upsert(connection, ban, [values])


def delete_ban(connection: sa.Connection, chat: ChatId, account: AccountId) -> bool:
    """Deletes a ban. Returns whether there was one."""
    return connection.execute(sa.delete(ban).where(ban.c.chat == chat, ban.c.account == account)).rowcount > 0


def list_bans(connection: sa.Connection, chat: ChatId, now: int) -> list[Ban]:
    rows = sa.select(ban.c.account, ban.c.until, ban.c.by).where(ban.c.chat == chat, ban.c.until > now)
    found = connection.execute(rows.order_by(ban.c.account))
    return [Ban(AccountId(row[0]), 0 if row[1] == ALWAYS else row[1], AccountId(row[2])) for row in found]


def banned_until(connection: sa.Connection, chat: ChatId) -> dict[AccountId, int]:
    """The time (Unix ms, perhaps in the past) until which each account is banned."""
    rows = connection.execute(sa.select(ban.c.account, ban.c.until).where(ban.c.chat == chat))
    return {AccountId(row.account): row.until for row in rows}


def require_not_banned(connection: sa.Connection, chat: ChatId, account: AccountId, now: int) -> None:
    """Raises RequestError if the account is banned from the chat."""
    if banned_among(connection, chat, [account], now):
        raise banned_account()


def banned_among(
    connection: sa.Connection, chat: ChatId, accounts: Sequence[AccountId], now: int
) -> frozenset[AccountId]:
    """Returns the banned accounts among `accounts`."""
    banned = sa.select(ban.c.account).where(ban.c.chat == chat, ban.c.account.in_(accounts), ban.c.until > now)
    return frozenset(connection.execute(banned).scalars())


def store_silence(connection: sa.Connection, request: SilenceMember, limits: GroupLimits, now: int) -> None:
    """Stores or ends a silence. Raises RequestError at the limit of silenced members. The silence of the whole group
    has no limit."""
    ended = sa.or_(silence.c.until <= now, silence.c.account == request.account)
    connection.execute(sa.delete(silence).where(silence.c.chat == request.chat, ended))
    if request.until <= now:
        return
    if request.account != NO_ACCOUNT:
        members = sa.and_(silence.c.chat == request.chat, silence.c.account != NO_ACCOUNT)
        check_room(connection, members, limits.silenced_per_group, "a group silences at most {} members")
    values = {"chat": request.chat, "account": request.account, "until": min(request.until, ALWAYS)}
    connection.execute(sa.insert(silence).values(values))


def silence_all(connection: sa.Connection, chat: ChatId, now: int, *, on: bool) -> bool:
    """Silences the whole group, or ends this. Returns whether anything changed. The owner and the admins may still post
    to a silenced group."""
    own = sa.and_(silence.c.chat == chat, silence.c.account == NO_ACCOUNT)
    until = connection.execute(sa.select(silence.c.until).where(own)).scalar_one_or_none()
    if on is ((until or 0) > now):
        return False
    connection.execute(sa.delete(silence).where(own))
    if on:
        connection.execute(sa.insert(silence).values({"chat": chat, "account": NO_ACCOUNT, "until": ALWAYS}))
    return True


def silences(connection: sa.Connection, chat: ChatId) -> dict[AccountId, int]:
    """The time (Unix ms, perhaps in the past) until which each account may not post. The entry of NO_ACCOUNT concerns
    all members except the owner and the admins."""
    rows = connection.execute(sa.select(silence.c.account, silence.c.until).where(silence.c.chat == chat))
    return {AccountId(row.account): row.until for row in rows}


def banned_account() -> RequestError:
    return RequestError(ErrorCode.FORBIDDEN, "this account is banned from the group", "account", 0, Reason.BANNED)
