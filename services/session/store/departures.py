"""Members leave chats, or are removed. Readers of changes receive each departure as a member of role LEFT. A deleted
account leaves its chats, some chats in each transaction, and loses its other data."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.session import domain
from services.session.domain import (
    DELETED_NICKNAME,
    LOBBY,
    NAMES_IN_DEFAULT_NAME,
    OwnerCandidate,
    next_owner,
    private_name,
)
from services.session.store import happenings, masks, subscriptions
from services.session.store.memberships import lock_group, role_in
from services.session.store.pending_notifications import store_each
from services.session.store.sql import IS_MEMBER, later, lock_active, parse_pair, role_of, touch
from services.session.tables import (
    ban,
    block,
    chat,
    friend_request,
    friendship,
    happening,
    incoming_webhook,
    invitation,
    link,
    mask,
    member,
    membership_request,
    metadata_value,
    outgoing_webhook,
    own_settings,
    pending_notification,
    profile,
    report,
    silence,
)
from shared.contract.edge import MembershipAnswered
from shared.contract.errors import ErrorCode
from shared.contract.happenings import HappeningKind
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import EndMembership
from shared.contract.model import ChatKind, JoinPolicy, Role

_MADE = (incoming_webhook, outgoing_webhook, link)
"""The tables of what a member makes in a group."""
_OF_EMPTY = (invitation, happening)
_OF_DISBANDED = (*_MADE, ban, silence, mask)


class LockedChat(NamedTuple):
    """A chat whose row is locked in this transaction."""

    id: ChatId
    owner: AccountId
    version: int
    size: int


class LeftChat(NamedTuple):
    """A chat that the account has left. `next_owner` owns the chat now, and sees the chat from `first_index` on. It is
    NO_ACCOUNT if the owner is unchanged, or the chat has no owner. `members`: the remaining members; None in the lobby,
    and if there are many. `rejected`: if the last member has left, the requests that nobody can answer any more.
    `time`: the time of the recorded departure; 0 if it is not recorded."""

    chat: ChatId
    version: int
    next_owner: AccountId
    first_index: int
    members: list[AccountId] | None
    rejected: Sequence[MembershipAnswered] = ()
    time: int = 0


def end_membership(connection: sa.Connection, request: EndMembership, now: int, broadcast_from: int) -> LeftChat:
    """The actor leaves a group, or removes a member. In the lobby, and in a chat with `broadcast_from` or more members,
    the remaining members' times of change stay the same. Raises RequestError."""
    group = lock_group(connection, request.chat)
    role = role_in(connection, group, request.actor)
    if role is None:
        raise domain.hidden_error(ErrorCode.FORBIDDEN)
    if request.account != request.actor:
        domain.check_can_remove(role, role_of(connection, group.id, request.account))
    locked = LockedChat(group.id, group.owner, group.version, group.size)
    (left,) = end_memberships(connection, request.account, [locked], now, broadcast_from)
    changed = [request.account, *(left.members or ())]
    lock_active(connection, changed)
    touch(connection, changed, now)
    return record(connection, left, request.actor, request.account, now, request.reason)


def record(
    connection: sa.Connection, left: LeftChat, by: AccountId, account: AccountId, now: int, text: str = ""
) -> LeftChat:
    """Records the departure in a group that has members left."""
    if left.members == []:
        return left
    return left._replace(time=happenings.record(connection, left.chat, now, HappeningKind.LEAVE, by, account, text))


def end_memberships(
    connection: sa.Connection, account: AccountId, left: Sequence[LockedChat], now: int, broadcast_from: int
) -> list[LeftChat]:
    """Make the account leave these chats, and delete its webhooks and links there. The caller records the change in the
    profiles."""
    numbers = [row.id for row in left]
    owners = _next_owners(connection, account, [row.id for row in left if row.owner == account])
    connection.execute(
        sa.update(chat)
        .where(chat.c.id.in_(numbers))
        .values(
            version=chat.c.version + 1,
            size=chat.c.size - 1,
            owner=sa.case((chat.c.owner == account, NO_ACCOUNT), else_=chat.c.owner),
            updated=later(chat.c.updated, now),
        )
    )
    version = sa.select(chat.c.version).where(chat.c.id == member.c.chat).scalar_subquery()
    own = sa.and_(member.c.account == account, member.c.chat.in_(numbers))
    connection.execute(sa.update(member).where(own).values(role=Role.LEFT, version=version))
    _transfer_ownership(connection, owners)
    _end_empty(connection, [row.id for row in left if row.size == 1])
    for made in _MADE:
        connection.execute(sa.delete(made).where(made.c.by == account, made.c.chat.in_(numbers)))
    listed = _list_members(connection, [row.id for row in left if row.size <= broadcast_from and row.id != LOBBY])
    rejected = defaultdict(list)
    for answer in reject_requests(connection, [row.id for row in left if row.size == 1], now):
        rejected[answer.chat].append(answer)
    return [
        LeftChat(
            row.id, row.version + 1, *owners.get(row.id, (NO_ACCOUNT, 0)), listed.get(row.id), rejected.get(row.id, ())
        )
        for row in left
    ]  # fmt: skip


def _end_empty(connection: sa.Connection, numbers: list[ChatId]) -> None:
    """Close groups that have no members left. Their handles become free."""
    delete_rows(connection, numbers)
    named = sa.and_(chat.c.id.in_(numbers), chat.c.handle != "")
    connection.execute(sa.update(chat).where(named).values(handle="", join_policy=JoinPolicy.CLOSED))


def delete_rows(connection: sa.Connection, numbers: Sequence[ChatId], *, is_disbanded: bool = False) -> None:
    """Delete the rows of groups that have no members left, so that nobody can join by an invitation. If the groups are
    disbanded, no account will ever be a member again, and further rows are deleted."""
    for table in (*_OF_EMPTY, *(_OF_DISBANDED if is_disbanded else ())):
        connection.execute(sa.delete(table).where(table.c.chat.in_(numbers)))
    of_groups = sa.and_(metadata_value.c.account == NO_ACCOUNT, metadata_value.c.chat.in_(numbers))
    connection.execute(sa.delete(metadata_value).where(of_groups))


def reject_requests(connection: sa.Connection, numbers: Sequence[ChatId], now: int) -> list[MembershipAnswered]:
    """Reject all pending requests for membership of these groups, which have no members any more."""
    ended = sa.delete(membership_request).where(membership_request.c.chat.in_(numbers))
    rows = connection.execute(ended.returning(membership_request.c.chat, membership_request.c.applicant)).all()
    answers = (MembershipAnswered(row.chat, "", row.applicant, accepted=False) for row in rows)
    return store_each(connection, answers, now)


def _next_owners(
    connection: sa.Connection, account: AccountId, owned: list[ChatId]
) -> dict[ChatId, tuple[AccountId, int]]:
    """For each of these chats that has another member, the next owner and the first index that the next owner sees."""
    place = sa.func.row_number().over(partition_by=(member.c.chat, member.c.role), order_by=member.c.seat)
    ranked = (
        sa.select(member, place.label("place"))
        .where(member.c.chat.in_(owned), member.c.account != account, IS_MEMBER)
        .subquery()
    )
    candidates: dict[ChatId, dict[OwnerCandidate, int]] = defaultdict(dict)
    for row in connection.execute(sa.select(ranked).where(ranked.c.place == 1)):
        candidates[row.chat][OwnerCandidate(row.account, Role(row.role), row.seat)] = row.first_index
    return {
        number: (best.account, indexes[best]) for number, indexes in candidates.items() if (best := next_owner(indexes))
    }


def _transfer_ownership(connection: sa.Connection, owners: dict[ChatId, tuple[AccountId, int]]) -> None:
    """Store the new owners. The caller has already incremented the chats' versions."""
    changes = [{"number": number, "next_owner": account} for number, (account, _) in owners.items()]
    if not changes:
        return
    number: sa.BindParameter[int] = sa.bindparam("number")
    account: sa.BindParameter[int] = sa.bindparam("next_owner")
    version = sa.select(chat.c.version).where(chat.c.id == number).scalar_subquery()
    connection.execute(sa.update(chat).where(chat.c.id == number).values(owner=account), changes)
    owner_row = sa.and_(member.c.chat == number, member.c.account == account)
    connection.execute(sa.update(member).where(owner_row).values(role=Role.OWNER, version=version), changes)


def _list_members(connection: sa.Connection, numbers: list[ChatId]) -> dict[ChatId, list[AccountId]]:
    members: dict[ChatId, list[AccountId]] = {number: [] for number in numbers}
    listed = sa.select(member.c.chat, member.c.account).where(member.c.chat.in_(numbers), IS_MEMBER)
    rows = connection.execute(listed.order_by(member.c.chat, member.c.seat))
    for row in rows:
        members[row.chat].append(row.account)
    return members


# Deleted accounts

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
        values = {"name": made, "updated": later(chat.c.updated, now)} if name == previous else {}
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
