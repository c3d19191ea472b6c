"""Chats as a member sees them: with other members, profile summaries, and what is muted."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

import sqlalchemy as sa

from services.session.domain import hidden_error
from services.session.store.chats import finished_memberships
from services.session.store.mutes import mutes_of
from services.session.store.sql import CHAT, IS_MEMBER, chat_of
from services.session.tables import chat, member, profile
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ProfileSummary, Role
from shared.contract.session import ChatsFound, ChatView, ChatViews, ChatWithMembers

_CHATS = 500
_SUMMARIES = 10_000
"""Of all chats of a page together; a single chat may have more."""


def view_chat(connection: sa.Connection, number: ChatId, actor: AccountId | None, limit: int) -> ChatView:
    """A chat with its first members: the owner, then the others by seat. Raises RequestError when there is no such
    chat, or `actor` is no member of it; None: an operator."""
    row = connection.execute(sa.select(*CHAT).where(chat.c.id == number)).one_or_none()
    if row is None:
        raise hidden_error(ErrorCode.NOT_FOUND)
    own = sa.select(member.c.account).where(member.c.chat == number, member.c.account == actor, IS_MEMBER)
    if actor is not None and connection.execute(own).one_or_none() is None:
        raise hidden_error(ErrorCode.FORBIDDEN)
    found = chat_of(row._mapping)
    first = [] if found.owner == NO_ACCOUNT else [found.owner]
    others = sa.select(member.c.account).where(member.c.chat == number, IS_MEMBER, member.c.account != found.owner)
    listed = connection.execute(others.order_by(member.c.seat).limit(limit - len(first))).scalars()
    mute = None if actor is None else mutes_of(connection, actor, [number]).get(number)
    return ChatView(found, first + [AccountId(account) for account in listed], mute)


def find_chats(connection: sa.Connection, account: AccountId, numbers: Sequence[int]) -> ChatsFound:
    """Those of the chats that the account is in."""
    own = finished_memberships(account).with_only_columns(*CHAT, member.c.role).join(chat, chat.c.id == member.c.chat)
    rows = connection.execute(own.where(member.c.chat.in_(numbers))).all()
    found = [chat_of(row._mapping) for row in rows]
    roles = {ChatId(row.id): Role(row.role) for row in rows}
    return ChatsFound(found, mutes_of(connection, account, numbers), roles)


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
    """At least `limit` members of each chat, if it has so many. Seats are never reused: of the first
    `limit + seats - size` seats, at most `seats - size` belong to members that left."""
    numbers = [one.id for one in chats]
    summary = sa.select(member.c.chat, profile.c.nickname, profile.c.uuid).where(member.c.chat.in_(numbers), IS_MEMBER)
    summary = summary.join(chat, chat.c.id == member.c.chat).join(profile, profile.c.id == member.c.account)
    owners = summary.where(member.c.account == chat.c.owner)
    others = summary.where(member.c.account != chat.c.owner, member.c.seat < limit + chat.c.seats - chat.c.size)
    summaries: dict[ChatId, list[ProfileSummary]] = defaultdict(list)
    for row in (*connection.execute(owners), *connection.execute(others.order_by(member.c.chat, member.c.seat))):
        summaries[ChatId(row.chat)].append(ProfileSummary(row.nickname, row.uuid))
    return summaries
