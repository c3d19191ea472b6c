"""Friendships and the requests before them. Both people's profiles are locked by whatever concerns them."""

from collections.abc import Mapping

import sqlalchemy as sa

from services.session.domain import check_pending, nothing_pending
from services.session.store.pending_notifications import keep
from services.session.store.sql import HOSTS, SLICE, lock_living, require_living, touch
from services.session.tables import application, friend_request, friendship, kept, member
from shared.contract.edge import FriendshipAnswered, FriendshipRequested
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import (
    AnswerFriendship,
    EndFriendship,
    PendingFriendship,
    PendingMembership,
    RequestFriendship,
    Requests,
)
from shared.settings import Limits


def friends_of(connection: sa.Connection, account: AccountId, most: int) -> list[AccountId]:
    friends = sa.select(friendship.c.friend).where(friendship.c.account == account).order_by(friendship.c.friend)
    return [AccountId(number) for number in connection.execute(friends.limit(most)).scalars()]


def request(
    connection: sa.Connection, asked: RequestFriendship, limits: Limits, now: int
) -> FriendshipRequested | FriendshipAnswered:
    """Two who ask each other are friends. Raises Refused."""
    require_living(connection, [asked.account, asked.actor], "account")
    known = sa.select(friendship.c.account).where(_between(asked.actor, asked.account))
    if connection.execute(known).first() is not None:
        raise RequestError(ErrorCode.CONFLICT, "friends already", "account")
    if _take_request(connection, asked.account, asked.actor):
        return _befriend(connection, asked.account, asked.actor, now)
    key = {"applicant": asked.actor, "account": asked.account}
    put_request(connection, friend_request, key, asked.text, limits, now)
    return FriendshipRequested(asked.actor, asked.account, asked.text)


def answer(connection: sa.Connection, asked: AnswerFriendship, now: int) -> FriendshipAnswered:
    """Raises Refused."""
    living = lock_living(connection, [asked.applicant, asked.actor])
    if len(living) < 2 or not _take_request(connection, asked.applicant, asked.actor):
        raise nothing_pending("applicant")
    if asked.accept:
        return _befriend(connection, asked.applicant, asked.actor, now)
    refused = FriendshipAnswered(asked.applicant, asked.actor, accepted=False)
    return keep(connection, [asked.applicant], refused, now)


def end(connection: sa.Connection, asked: EndFriendship, now: int) -> None:
    """Raises Refused."""
    living = lock_living(connection, [asked.actor, asked.account])
    if connection.execute(sa.delete(friendship).where(_between(asked.actor, asked.account))).rowcount == 0:
        raise RequestError(ErrorCode.NOT_FOUND, "no friends", "account")
    touch(connection, list(living), now)


def end_friendships(connection: sa.Connection, account: AccountId, now: int) -> bool:
    """End a number of them; whether there were any."""
    friends = friends_of(connection, account, SLICE)
    lock_living(connection, friends)
    forth = sa.and_(friendship.c.account == account, friendship.c.friend.in_(friends))
    back = sa.and_(friendship.c.account.in_(friends), friendship.c.friend == account)
    connection.execute(sa.delete(friendship).where(sa.or_(forth, back)))
    touch(connection, friends, now)
    return bool(friends)


def end_requests(connection: sa.Connection, account: AccountId) -> None:
    """Of a deleted account, in both directions; nor is anything kept for it."""
    concerned = sa.or_(friend_request.c.applicant == account, friend_request.c.account == account)
    connection.execute(sa.delete(friend_request).where(concerned))
    connection.execute(sa.delete(application).where(application.c.applicant == account))
    connection.execute(sa.delete(kept).where(kept.c.account == account))


def pending(connection: sa.Connection, account: AccountId, most: int) -> Requests:
    """What waits for this account's answer, oldest first."""
    people = sa.select(friend_request.c.applicant, friend_request.c.text).where(friend_request.c.account == account)
    people = people.order_by(friend_request.c.created, friend_request.c.applicant).limit(most)
    runs = sa.and_(member.c.chat == application.c.chat, member.c.account == account, HOSTS)
    groups = sa.select(application.c.applicant, application.c.chat, application.c.text).join(member, runs)
    groups = groups.order_by(application.c.created, application.c.chat, application.c.applicant).limit(most)
    return Requests(
        [PendingFriendship(AccountId(row[0]), row[1]) for row in connection.execute(people)],
        [PendingMembership(AccountId(row[0]), ChatId(row[1]), row[2]) for row in connection.execute(groups)],
    )


def put_request(
    connection: sa.Connection, table: sa.Table, key: Mapping[str, int], text: str, limits: Limits, now: int
) -> None:
    """A request of the applicant in `key`, whose profile is locked; one that waits already has new words. Raises
    Refused when too many wait."""
    same = [table.c[name] == value for name, value in key.items()]
    if connection.execute(sa.update(table).where(*same).values(text=text)).rowcount == 0:
        check_pending(_requests_of(connection, key["applicant"]), limits)
        connection.execute(sa.insert(table).values(**key, text=text, created=now))


def _requests_of(connection: sa.Connection, applicant: int) -> int:
    """How many of somebody's requests wait for an answer."""
    counts = [
        sa.select(sa.func.count()).where(table.c.applicant == applicant).scalar_subquery()
        for table in (friend_request, application)
    ]
    people, groups = connection.execute(sa.select(*counts)).one()
    return int(people + groups)


def _take_request(connection: sa.Connection, applicant: AccountId, account: AccountId) -> bool:
    """Whether there was one; there is none now."""
    asked = sa.and_(friend_request.c.applicant == applicant, friend_request.c.account == account)
    return connection.execute(sa.delete(friend_request).where(asked)).rowcount == 1


def _befriend(connection: sa.Connection, applicant: AccountId, account: AccountId, now: int) -> FriendshipAnswered:
    both = [applicant, account]
    rows = [{"account": one, "friend": other, "created": now} for one, other in (both, both[::-1])]
    connection.execute(sa.insert(friendship), rows)
    touch(connection, both, now)
    return keep(connection, both, FriendshipAnswered(applicant, account, accepted=True), now)


def _between(one: AccountId, other: AccountId) -> sa.ColumnElement[bool]:
    """Both directions."""
    forth = sa.and_(friendship.c.account == one, friendship.c.friend == other)
    return sa.or_(forth, sa.and_(friendship.c.account == other, friendship.c.friend == one))
