"""Blocked accounts. A blocked account cannot reach the users who block it.

The message service reads blocks together with the membership of the private chat. So a change has two transactions. The
second transaction increments the version of the chat, which may have been created during the first one.
"""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from services.session.store.sql import check_room, later, pair_key, parse_pair, require_active, slices
from services.session.tables import block, chat, friend_request
from shared.contract.contacts import SetBlocked
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind, MemberPair
from shared.settings.limits import GroupLimits


def set_blocked(connection: sa.Connection, request: SetBlocked, limits: GroupLimits, now: int) -> None:
    """Blocks or unblocks an account. A repetition has no further effect. Blocking deletes the account's pending friend
    request. Raises RequestError."""
    actor, account = request.actor, request.account
    key = sa.and_(block.c.account == actor, block.c.blocked == account)
    if not request.blocked:
        connection.execute(sa.delete(block).where(key))
        return
    require_active(connection, [actor, account], "account")
    if connection.execute(sa.select(block.c.created).where(key)).one_or_none() is None:
        rule = "at most {} accounts can be blocked"
        check_room(connection, block.c.account == actor, limits.blocks_per_account, rule)
        connection.execute(sa.insert(block).values(account=actor, blocked=account, created=now))
    pending = sa.and_(friend_request.c.applicant == account, friend_request.c.account == actor)
    connection.execute(sa.delete(friend_request).where(pending))


def increment_version(connection: sa.Connection, pair: MemberPair, now: int) -> tuple[ChatId, int] | None:
    """Increments the version of the pair's private chat. Returns the chat and its new version; None if the chat does
    not exist."""
    private = sa.update(chat).where(chat.c.pair == pair_key(pair), chat.c.kind == ChatKind.PRIVATE)
    changed = private.values(version=chat.c.version + 1, updated=later(chat.c.updated, now))
    row = connection.execute(changed.returning(chat.c.id, chat.c.version)).one_or_none()
    return None if row is None else (ChatId(row.id), row.version)


def list_blocked(connection: sa.Connection, account: AccountId) -> list[AccountId]:
    rows = sa.select(block.c.blocked).where(block.c.account == account).order_by(block.c.blocked)
    return [AccountId(number) for number in connection.execute(rows).scalars()]


def blocked_members(connection: sa.Connection, pair: MemberPair) -> list[AccountId]:
    """The members of the pair that are blocked by the other member."""
    rows = sa.select(block.c.blocked).where(block.c.account.in_(pair), block.c.blocked.in_(pair))
    return [AccountId(number) for number in connection.execute(rows).scalars()]


def find_blocked_members(
    connection: sa.Connection, members: Sequence[tuple[AccountId, ChatId]]
) -> list[tuple[AccountId, ChatId]]:
    """The members of these private chats that block the other member, or are blocked by the other member."""
    numbers = {number for _, number in members}
    private = sa.select(chat.c.id, chat.c.pair).where(chat.c.id.in_(numbers), chat.c.kind == ChatKind.PRIVATE)
    pairs = {row.id: parse_pair(row.pair) or () for row in connection.execute(private)}
    blocked = blocked_pairs(connection, {account for pair in pairs.values() for account in pair})
    return [
        (member, number)
        for member, number in members
        if any(frozenset((other, member)) in blocked for other in pairs.get(number, ()))
    ]


def blocked_pairs(connection: sa.Connection, accounts: Collection[int]) -> set[frozenset[int]]:
    """The pairs of these accounts of which one blocks the other."""
    rows = sa.select(block.c.account, block.c.blocked)
    found = connection.execute(rows.where(block.c.account.in_(accounts), block.c.blocked.in_(accounts)))
    return {frozenset((row.account, row.blocked)) for row in found}


def require_unblocked(connection: sa.Connection, actor: AccountId, accounts: Iterable[AccountId], field: str) -> None:
    """Raises RequestError when one of the accounts blocks the actor."""
    for some in slices(list(accounts)):
        if blocking_among(connection, actor, some):
            raise blocking_account(field)


def blocking_among(connection: sa.Connection, actor: AccountId, accounts: Sequence[AccountId]) -> frozenset[AccountId]:
    """The accounts among `accounts` that block the actor."""
    blocking = sa.select(block.c.account).where(block.c.blocked == actor, block.c.account.in_(accounts))
    return frozenset(connection.execute(blocking).scalars())


def blocking_account(field: str) -> RequestError:
    return RequestError(ErrorCode.FORBIDDEN, "this user does not accept your requests", field, 0, Reason.BLOCKED)
