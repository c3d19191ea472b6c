"""Chats together with the faces of those who are in them."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

import sqlalchemy as sa

from services.session.store.chats import complete
from services.session.store.sql import CHAT, LIVE, chat_of
from services.session.tables import chat, member, profile
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat, ProfileSummary
from shared.contract.session import ChatViews, ChatWithMembers

_CHATS = 500
_FACES = 10_000
"""Of one page together; a chat alone may have more."""


def chat_views(connection: sa.Connection, account: AccountId, after: ChatId, most: int) -> ChatViews:
    """A page of an account's chats, each with its owner first and then all in order of joining, at most `most`."""
    mine = complete(account).with_only_columns(*CHAT, chat.c.size, chat.c.seats).join(chat)
    rows = connection.execute(mine.where(member.c.chat > after).order_by(member.c.chat).limit(_CHATS + 1)).all()
    sums = accumulate(min(row.size, most) for row in rows[:_CHATS])
    fitting = rows[: max(1, sum(total <= _FACES for total in sums))]
    chats = [chat_of(row._mapping) for row in fitting]
    faces = _faces(connection, chats, most)
    return ChatViews([ChatWithMembers(one, faces[one.id][:most]) for one in chats], more=len(fitting) < len(rows))


def _faces(connection: sa.Connection, chats: Sequence[Chat], most: int) -> dict[ChatId, list[ProfileSummary]]:
    """Seats are given up, but never given again: among so many first ones, `most` are taken if so many are there."""
    numbers = [one.id for one in chats]
    face = sa.select(member.c.chat, profile.c.nickname, profile.c.uuid).where(member.c.chat.in_(numbers), LIVE)
    face = face.join(chat, chat.c.id == member.c.chat).join(profile, profile.c.id == member.c.account)
    owners = face.where(member.c.account == chat.c.owner)
    first = face.where(member.c.account != chat.c.owner, member.c.seat < most + chat.c.seats - chat.c.size)
    faces: dict[ChatId, list[ProfileSummary]] = defaultdict(list)
    for row in (*connection.execute(owners), *connection.execute(first.order_by(member.c.chat, member.c.seat))):
        faces[ChatId(row.chat)].append(ProfileSummary(row.nickname, row.uuid))
    return faces
