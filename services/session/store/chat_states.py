"""The chats of an account with their states, by which a client that comes back knows what else has changed."""

from typing import Any

import sqlalchemy as sa

from services.session.store.chats import FINISHED
from services.session.store.sql import parse_pair
from services.session.tables import chat, member, profile
from shared.contract.ids import AccountId, ChatId
from shared.contract.resume import fingerprint
from shared.contract.session import ChatEntry, ChatList


def _page() -> sa.Select[Any]:
    """As services.session.store.chats has it. `updated` rises with each change of the chat's row or of a member's. The
    profile is that of the other member of a chat with two; the members of a group are not read, whatever the plan."""
    account, other = sa.bindparam("account", type_=sa.BigInteger), member.alias("other")
    own = FINISHED.add_columns(member.c.muted_until, member.c.mentions_only).where(member.c.account == account)
    own = own.where(member.c.chat > sa.bindparam("after")).order_by(member.c.chat)
    found = own.limit(sa.bindparam("limit", type_=sa.Integer)).subquery()
    private = sa.case((chat.c.pair.is_not(None), chat.c.id))
    is_other = sa.and_(other.c.chat == private, other.c.account != account)
    rows = sa.join(found, chat, chat.c.id == found.c.chat).outerjoin(other, is_other)
    rows = rows.outerjoin(profile, profile.c.id == other.c.account)
    seen = [chat.c.pair, chat.c.updated, profile.c.nickname, profile.c.uuid]
    return sa.select(found, *seen).select_from(rows).order_by(found.c.chat)


_PAGE = _page()


def list_chats_with_states(connection: sa.Connection, account: AccountId, after: ChatId, limit: int) -> ChatList:
    """A page of the account's chats by id, after `after`."""
    rows = connection.execute(_PAGE, {"account": account, "after": after, "limit": limit + 1}).all()
    entries = [
        ChatEntry(
            ChatId(number), first_index, unread_from, parse_pair(pair), fingerprint(*mute, updated, nickname, uuid)
        )
        for number, first_index, unread_from, *mute, pair, updated, nickname, uuid in rows[:limit]
    ]
    return ChatList(entries, more=len(rows) > limit)
