"""Friendships and pending requests. Each transaction locks the profiles of both accounts."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from services.session.domain import LOBBY, check_count, no_pending_request, pair_of
from services.session.store import blocks, own_settings, pending_notifications
from services.session.store.blocks import blocking_among, require_unblocked
from services.session.store.sql import (
    IS_ADMIN,
    IS_MEMBER,
    SLICE,
    lock_active,
    pair_key,
    require_active,
    require_readers,
    touch,
)
from services.session.tables import chat, friend_request, friendship, member, membership_request, profile
from shared.contract.contacts import (
    AnswerFriendship,
    EndFriendship,
    PendingFriendship,
    PendingMembership,
    RequestFriendship,
    Requests,
)
from shared.contract.edge import FriendshipAnswered, FriendshipRequested
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind
from shared.contract.own_lists import OwnLists
from shared.settings.limits import GroupLimits

# The functions below read the lists of an account that its clients store. A list's state is a fingerprint of its
# content.


def find_own_lists(
    connection: sa.Connection, account: AccountId, names: frozenset[str], friends_most: int, requests_most: int
) -> OwnLists:
    """The lists with these names, without their states. `friends_most`: the most friends. `requests_most`: the most
    requests of each kind."""
    return OwnLists(
        friends=_friends(connection, account, friends_most) if "friends" in names else None,
        requests=list_requests(connection, account, requests_most) if "requests" in names else None,
        blocks=blocks.list_blocked(connection, account) if "blocks" in names else None,
        settings=own_settings.find(connection, account) if "settings" in names else None,
    )


def _friends(connection: sa.Connection, account: AccountId, most: int) -> list[tuple[AccountId, int]]:
    rows = sa.select(friendship.c.friend, profile.c.public_updated).where(friendship.c.account == account)
    rows = rows.join(profile, profile.c.id == friendship.c.friend).order_by(friendship.c.friend).limit(most)
    return [(AccountId(friend), changed) for friend, changed in connection.execute(rows)]


_SMALL = 200


def friends_of(connection: sa.Connection, account: AccountId, limit: int) -> list[AccountId]:
    friends = sa.select(friendship.c.friend).where(friendship.c.account == account).order_by(friendship.c.friend)
    return [AccountId(number) for number in connection.execute(friends.limit(limit)).scalars()]


def peers_of(connection: sa.Connection, account: AccountId, limit: int) -> list[AccountId]:
    """The other members of the account's chats, except the lobby."""
    own = sa.select(member.c.chat).where(member.c.account == account, member.c.chat != LOBBY, IS_MEMBER)
    others = sa.select(member.c.account).where(member.c.chat.in_(own), member.c.account != account, IS_MEMBER)
    return [AccountId(number) for number in connection.execute(others.distinct().limit(limit)).scalars()]


def find_near(connection: sa.Connection, actor: AccountId, accounts: Sequence[AccountId]) -> set[AccountId]:
    """The accounts among `accounts` whose present state the actor may see: those of `find_watchable`, guests, and
    members of small groups that the actor is in. Accounts that block the actor are never among them."""
    small = sa.select(member.c.chat).join(chat, chat.c.id == member.c.chat)
    small = small.where(member.c.account == actor, IS_MEMBER, chat.c.size <= _SMALL)
    near = sa.select(member.c.account).where(member.c.chat.in_(small), member.c.account.in_(accounts), IS_MEMBER)
    guests = sa.select(profile.c.id).where(profile.c.id.in_(accounts), profile.c.guest != "")
    found = {AccountId(number) for query in (near, guests) for number in connection.scalars(query)}
    return (found | find_watchable(connection, actor, accounts)) - blocking_among(connection, actor, accounts)


def find_watchable(connection: sa.Connection, actor: AccountId, accounts: Sequence[AccountId]) -> set[AccountId]:
    """The accounts among `accounts` whose presence the actor may see."""
    friends = sa.select(friendship.c.friend).where(friendship.c.account == actor, friendship.c.friend.in_(accounts))
    keys = {pair_key(pair_of(actor, account)): account for account in accounts}
    private = sa.select(chat.c.pair).where(chat.c.pair.in_(keys), chat.c.kind == ChatKind.PRIVATE)
    known = {AccountId(number) for number in connection.execute(friends).scalars()}
    known |= {keys[pair] for pair in connection.execute(private).scalars()}
    return (known | {actor}.intersection(accounts)) - blocking_among(connection, actor, accounts)


def request_friendship(
    connection: sa.Connection, request: RequestFriendship, limits: GroupLimits, now: int
) -> FriendshipRequested | FriendshipAnswered:
    """Store a request. When the other account has a request to the actor, both become friends at once. Raises
    RequestError."""
    require_active(connection, [request.account, request.actor], "account")
    require_unblocked(connection, request.actor, [request.account], "account")
    require_readers(connection, [request.account], "account")
    existing = sa.select(friendship.c.account).where(_between(request.actor, request.account))
    if connection.execute(existing).first() is not None:
        raise RequestError(ErrorCode.CONFLICT, "friends already", "account", 0, Reason.FRIENDS_ALREADY)
    if _delete_request(connection, request.account, request.actor):
        return _insert_friendship(connection, request.account, request.actor, now)
    key = {"applicant": request.actor, "account": request.account}
    store_request(connection, friend_request, key, request.text, limits, now)
    return FriendshipRequested(request.actor, request.account, request.text)


def answer_request(connection: sa.Connection, request: AnswerFriendship, now: int) -> FriendshipAnswered:
    """Accept or reject a pending request. Raises RequestError."""
    active = lock_active(connection, [request.applicant, request.actor])
    if len(active) < 2 or not _delete_request(connection, request.applicant, request.actor):
        raise no_pending_request("applicant")
    if request.accept:
        return _insert_friendship(connection, request.applicant, request.actor, now)
    rejected = FriendshipAnswered(request.applicant, request.actor, accepted=False)
    return pending_notifications.store(connection, [request.applicant], rejected, now)


def end_friendship(connection: sa.Connection, request: EndFriendship, now: int) -> None:
    """Raises RequestError."""
    active = lock_active(connection, [request.actor, request.account])
    if connection.execute(sa.delete(friendship).where(_between(request.actor, request.account))).rowcount == 0:
        raise RequestError(ErrorCode.NOT_FOUND, "no friends", "account")
    touch(connection, list(active), now)


def end_friendships(connection: sa.Connection, account: AccountId, now: int) -> bool:
    """End some of the account's friendships. Returns whether it had any."""
    friends = friends_of(connection, account, SLICE)
    lock_active(connection, friends)
    outgoing = sa.and_(friendship.c.account == account, friendship.c.friend.in_(friends))
    incoming = sa.and_(friendship.c.account.in_(friends), friendship.c.friend == account)
    connection.execute(sa.delete(friendship).where(sa.or_(outgoing, incoming)))
    touch(connection, friends, now)
    return bool(friends)


def list_requests(connection: sa.Connection, account: AccountId, limit: int) -> Requests:
    """The pending requests that this account can answer, oldest first."""
    friends = sa.select(friend_request.c.applicant, friend_request.c.text).where(friend_request.c.account == account)
    friends = friends.order_by(friend_request.c.created, friend_request.c.applicant).limit(limit)
    manages = sa.and_(member.c.chat == membership_request.c.chat, member.c.account == account, IS_ADMIN)
    columns = (membership_request.c.applicant, membership_request.c.chat, membership_request.c.text)
    order = (membership_request.c.created, membership_request.c.chat, membership_request.c.applicant)
    groups = sa.select(*columns).join(member, manages).order_by(*order).limit(limit)
    return Requests(
        [PendingFriendship(AccountId(row[0]), row[1]) for row in connection.execute(friends)],
        [PendingMembership(AccountId(row[0]), ChatId(row[1]), row[2]) for row in connection.execute(groups)],
    )


def store_request(
    connection: sa.Connection, table: sa.Table, key: Mapping[str, int], text: str, limits: GroupLimits, now: int
) -> None:
    """Store the applicant's request under `key`. If the request is already pending, only its text is replaced. The
    caller has locked the applicant's profile. Raises RequestError if too many requests are pending."""
    same = [table.c[name] == value for name, value in key.items()]
    if connection.execute(sa.update(table).where(*same).values(text=text)).rowcount == 0:
        rule = "at most {} requests may wait for an answer"
        check_count(_count_requests(connection, key["applicant"]), limits.requests_pending, rule, "requests")
        connection.execute(sa.insert(table).values(**key, text=text, created=now))


def _count_requests(connection: sa.Connection, applicant: int) -> int:
    """The number of the applicant's pending requests, of both kinds."""
    counts = [
        sa.select(sa.func.count()).where(table.c.applicant == applicant).scalar_subquery()
        for table in (friend_request, membership_request)
    ]
    friends, groups = connection.execute(sa.select(*counts)).one()
    return int(friends + groups)


def _delete_request(connection: sa.Connection, applicant: AccountId, account: AccountId) -> bool:
    """Returns whether the request was pending."""
    pending = sa.and_(friend_request.c.applicant == applicant, friend_request.c.account == account)
    return connection.execute(sa.delete(friend_request).where(pending)).rowcount == 1


def _insert_friendship(
    connection: sa.Connection, applicant: AccountId, account: AccountId, now: int
) -> FriendshipAnswered:
    both = [applicant, account]
    rows = [{"account": one, "friend": other, "created": now} for one, other in (both, both[::-1])]
    connection.execute(sa.insert(friendship), rows)
    touch(connection, both, now)
    accepted = FriendshipAnswered(applicant, account, accepted=True)
    return pending_notifications.store(connection, both, accepted, now)


def _between(one: AccountId, other: AccountId) -> sa.ColumnElement[bool]:
    """The condition for the rows of a friendship, in both directions."""
    forward = sa.and_(friendship.c.account == one, friendship.c.friend == other)
    return sa.or_(forward, sa.and_(friendship.c.account == other, friendship.c.friend == one))
