"""Chats with the profile summaries of their members."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

import sqlalchemy as sa

from services.session.store.chats import finished_memberships
from services.session.store.sql import CHAT, IS_MEMBER, chat_of
from services.session.tables import chat, member, profile
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat, ProfileSummary
from shared.contract.session import ChatViews, ChatWithMembers

_CHATS = 500
_SUMMARIES = 10_000
"""Of all chats of a page together; a single chat may have more."""


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
