"""A deleted account leaves its chats, some chats in each transaction."""

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any

import sqlalchemy as sa

from services.session.domain import DELETED_NICKNAME, LOBBY, NAMES_IN_DEFAULT_NAME, private_name
from services.session.store import masks, subscriptions
from services.session.store.departures import LeftChat, LockedChat, end_memberships
from services.session.store.sql import IS_MEMBER, parse_pair, touch
from services.session.tables import (
    ban,
    block,
    chat,
    friend_request,
    friendship,
    incoming_webhook,
    invitation,
    member,
    membership_request,
    metadata_value,
    own_settings,
    pending_notification,
    profile,
    report,
    silence,
)
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind, Role

_CHATS = 100
_MEMBERS = 100_000
"""The most members, in all, of the chats that one transaction leaves. A single chat may have more."""


def leave_chats(connection: sa.Connection, account: AccountId, now: int, broadcast_from: int) -> list[LeftChat]:
    """Make the account leave some of its chats. The result is empty if the account is in no chat any more. The members
    of a chat are not listed if there are `broadcast_from` or more."""
    locked = _lock_chats(connection, account)
    left = end_memberships(connection, account, locked, now, broadcast_from)
    _rename_private_chats(connection, [one.chat for one in left])
    _touch_remaining(connection, [one.chat for one in left], now)
    return left


def _delete_where(*owners: sa.Column[Any]) -> Callable[[sa.Connection, AccountId], None]:
    """A transaction that deletes the rows of a table in which one of these columns names the account."""

    def run(connection: sa.Connection, account: AccountId) -> None:
        connection.execute(sa.delete(owners[0].table).where(sa.or_(*(owner == account for owner in owners))))

    return run


REMOVALS: Sequence[Callable[[sa.Connection, AccountId], None]] = (
    _delete_where(friend_request.c.applicant, friend_request.c.account),
    _delete_where(membership_request.c.applicant),
    _delete_where(pending_notification.c.account),
    _delete_where(block.c.account, block.c.blocked),
    _delete_where(ban.c.account),
    _delete_where(silence.c.account),
    _delete_where(invitation.c.account),
    _delete_where(incoming_webhook.c.by, incoming_webhook.c.account),
    _delete_where(report.c.reporter),
    _delete_where(metadata_value.c.account),
    _delete_where(own_settings.c.account),
    masks.forget_maker,
    subscriptions.delete_of_account,
)
"""The transactions that delete the other data of an account. Each is short, and none waits for another. Reports of the
account's messages stay, as the messages do."""


def name_groups_again(
    connection: sa.Connection, account: AccountId, name_of: Callable[[Sequence[str]], str], now: int
) -> None:
    """Some groups are named after the nicknames of members. Make these names again without this account's nickname,
    also in groups that the account has left."""
    named = sa.select(chat.c.id, chat.c.name, chat.c.default_name).join(member).where(member.c.account == account)
    locked = named.where(chat.c.default_name.is_not(None)).order_by(chat.c.id).with_for_update(key_share=True, of=chat)
    for number, name, previous in connection.execute(locked).all():
        others = sa.select(profile.c.nickname).join(member, member.c.account == profile.c.id)
        others = others.where(member.c.chat == number, member.c.account != account, IS_MEMBER)
        first = connection.scalars(others.order_by(member.c.seat).limit(NAMES_IN_DEFAULT_NAME))
        made = name_of(first.all()) or DELETED_NICKNAME
        values = {"name": made, "updated": now} if name == previous else {}
        connection.execute(sa.update(chat).where(chat.c.id == number).values(default_name=made, **values))


def unfinished_deletions(connection: sa.Connection, accounts: list[AccountId]) -> list[AccountId]:
    """Of these accounts, the deleted ones whose profile, memberships or friendships are not erased completely."""
    has_membership = sa.exists().where(member.c.account == profile.c.id, IS_MEMBER)
    has_friends = sa.exists().where(friendship.c.account == profile.c.id)
    finished = sa.select(profile.c.id).where(
        profile.c.id.in_(accounts), profile.c.deleted, ~has_membership, ~has_friends
    )
    done = set(connection.scalars(finished))
    return [account for account in accounts if account not in done]


def left_versions(connection: sa.Connection, account: AccountId) -> dict[ChatId, int]:
    """The versions of all chats that the account has ever left."""
    rows = connection.execute(
        sa.select(chat.c.id, chat.c.version).join(member).where(member.c.account == account, member.c.role == Role.LEFT)
    )
    return {ChatId(row.id): row.version for row in rows}


def _lock_chats(connection: sa.Connection, account: AccountId) -> list[LockedChat]:
    """Lock some chats of the account, and return these chats as they are before the account leaves. A concurrent
    removal may have left some chats since they were selected; these chats are not returned."""
    while numbers := _next_batch(connection, account):
        locked = sa.select(chat.c.id, chat.c.owner, chat.c.version, chat.c.size).where(chat.c.id.in_(numbers))
        rows = connection.execute(locked.order_by(chat.c.id).with_for_update(key_share=True)).all()
        still = sa.select(member.c.chat).where(member.c.account == account, member.c.chat.in_(numbers), IS_MEMBER)
        own = set(connection.execute(still).scalars())
        if own:
            return [LockedChat(*row) for row in rows if row.id in own]
    return []


def _next_batch(connection: sa.Connection, account: AccountId) -> list[ChatId]:
    """Returns as many chats of the account as fit into one transaction, and at least one if the account has any."""
    chats = sa.select(chat.c.id, chat.c.size).join(member).where(member.c.account == account, IS_MEMBER)
    rows = connection.execute(chats.order_by(chat.c.id).limit(_CHATS)).all()
    totals = accumulate(0 if row.id == LOBBY else row.size for row in rows)
    fitting = sum(total <= _MEMBERS for total in totals)
    return [row.id for row in rows[: max(fitting, 1)]]


def _rename_private_chats(connection: sa.Connection, numbers: list[ChatId]) -> None:
    """Rename private chats of a deleted account. A private chat is named after its members, and the deleted account has
    no nickname any more."""
    private = sa.select(chat.c.id, chat.c.pair).where(chat.c.id.in_(numbers), chat.c.kind == ChatKind.PRIVATE)
    pairs = {row.id: pair for row in connection.execute(private) if (pair := parse_pair(row.pair))}
    if not pairs:
        return
    members = sa.select(profile.c.id, profile.c.nickname).where(profile.c.id.in_(set(chain(*pairs.values()))))
    nicknames = {row.id: row.nickname for row in connection.execute(members)}
    names = [{"number": number, "named": private_name(nicknames, pair)} for number, pair in pairs.items()]
    rename = sa.update(chat).where(chat.c.id == sa.bindparam("number")).values(name=sa.bindparam("named"))
    connection.execute(rename, names)


def _touch_remaining(connection: sa.Connection, numbers: list[ChatId], now: int) -> None:
    """Record for the remaining members, except in the lobby, that their chats have changed."""
    remaining = sa.select(member.c.account).where(member.c.chat.in_([n for n in numbers if n != LOBBY]), IS_MEMBER)
    lock = sa.select(profile.c.id).where(profile.c.id.in_(remaining)).order_by(profile.c.id)
    touch(connection, connection.execute(lock.with_for_update(key_share=True)).scalars().all(), now)
