"""The chats of an account with their states, by which a client that comes back knows what else has changed."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from services.session.domain import other_of
from services.session.store.profiles import summaries_of
from services.session.store.sql import IS_MEMBER, parse_pair, slices
from services.session.tables import chat, member
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import ProfileSummary
from shared.contract.resume import fingerprint
from shared.contract.session import ChatEntry, ChatList

_OWN = [member.c.chat, member.c.first_index, member.c.unread_from, member.c.muted_until, member.c.mentions_only]


def _page() -> sa.Select[Any]:
    """As services.session.store.chats has it. `updated` rises with each change of the chat's row or of a member's."""
    own = sa.select(*_OWN).where(IS_MEMBER, member.c.unread_from.is_not(None))
    own = own.where(member.c.account == sa.bindparam("account"), member.c.chat > sa.bindparam("after"))
    found = own.order_by(member.c.chat).limit(sa.bindparam("limit", type_=sa.Integer)).subquery()
    return sa.select(found, chat.c.pair, chat.c.updated).join(chat, chat.c.id == found.c.chat).order_by(found.c.chat)


_PAGE = _page()


def list_chats_with_states(connection: sa.Connection, account: AccountId, after: ChatId, limit: int) -> ChatList:
    """A page of the account's chats by id, after `after`."""
    rows = connection.execute(_PAGE, {"account": account, "after": after, "limit": limit + 1}).all()
    pairs = [parse_pair(row.pair) for row in rows[:limit]]
    others = [NO_ACCOUNT if pair is None else other_of(pair, account) for pair in pairs]
    summaries = _summaries(connection, sorted({*others} - {NO_ACCOUNT}))
    entries = [
        ChatEntry(ChatId(row.chat), row.first_index, row.unread_from, pair, _state(row, summaries.get(other)))
        for row, pair, other in zip(rows, pairs, others, strict=False)
    ]
    return ChatList(entries, more=len(rows) > limit)


def _state(row: sa.Row[Any], other: ProfileSummary | None) -> int:
    return fingerprint(row.updated, row.muted_until, row.mentions_only, other)


def _summaries(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, ProfileSummary]:
    found: dict[AccountId, ProfileSummary] = {}
    for some in slices(accounts):
        found |= summaries_of(connection, some)
    return found
