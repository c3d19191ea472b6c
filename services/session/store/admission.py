"""Decides whether an account joins a group at once, by an invitation, the group's key, its masks, its size and its join
policy."""

import hmac
from collections.abc import Sequence

import sqlalchemy as sa

from services.session import domain
from services.session.store import masks
from services.session.store.sql import CHAT, LockedGroup, chat_of, check_room, upsert
from services.session.tables import chat as chats
from services.session.tables import invitation
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat

_MOST = 1_000
"""The most invitations of one group."""
_LISTED = 100


def passes(connection: sa.Connection, group: LockedGroup, account: AccountId, key: str, now: int, server: str) -> bool:
    """Whether the account joins the group at once. If False, the account can only request membership. An invitation
    overrules all other rules once. Raises RequestError if the account must not join."""
    if _is_invited(connection, group.id, account, now):
        return True
    matched = masks.matched(connection, group.id, [account], server).get(account, frozenset())
    if "b" in matched and "e" not in matched:
        raise RequestError(ErrorCode.FORBIDDEN, "a mask of this group bans you", "chat", 0, Reason.BANNED)
    if group.join_key and not hmac.compare_digest(key.encode(), group.join_key.encode()):
        raise RequestError(ErrorCode.FORBIDDEN, "the key of this group is another one", "key", 0, Reason.WRONG_KEY)
    if group.most_members:
        domain.check_count(group.size, group.most_members, "this group has at most {} members", "members")
    return "I" in matched or domain.joins_immediately(group.join_policy, group.size)


def invite(connection: sa.Connection, chat: ChatId, account: AccountId, until: int, now: int) -> None:
    """Stores an invitation. Raises RequestError if the group has too many."""
    connection.execute(sa.delete(invitation).where(invitation.c.chat == chat, invitation.c.until <= now))
    others = sa.and_(invitation.c.chat == chat, invitation.c.account != account)
    check_room(connection, others, _MOST, "this group has {} invitations already")
    upsert(connection, invitation, [{"chat": chat, "account": account, "until": until}])


def list_invitations(connection: sa.Connection, account: AccountId, now: int) -> list[Chat]:
    own = sa.select(*CHAT).join(invitation, invitation.c.chat == chats.c.id)
    own = own.where(invitation.c.account == account, invitation.c.until > now).order_by(chats.c.id)
    return [chat_of(row) for row in connection.execute(own.limit(_LISTED)).mappings()]


def end_invitations(connection: sa.Connection, chat: ChatId, accounts: Sequence[AccountId]) -> None:
    """Deletes the invitations of accounts that have joined the group."""
    connection.execute(sa.delete(invitation).where(invitation.c.chat == chat, invitation.c.account.in_(accounts)))


def _is_invited(connection: sa.Connection, chat: ChatId, account: AccountId, now: int) -> bool:
    own = sa.and_(invitation.c.chat == chat, invitation.c.account == account, invitation.c.until > now)
    return connection.execute(sa.select(invitation.c.until).where(own)).first() is not None
