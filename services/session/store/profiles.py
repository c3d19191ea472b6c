"""Profiles and friendships."""

from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa

from services.session.domain import DELETED_NICKNAME, LOBBY
from services.session.store.rows import SLICE, insert, lock_living, moved, touch
from services.session.tables import friendship, member, profile
from shared.contract.ids import AccountId
from shared.contract.model import Profile, Role
from shared.contract.session import EnsureProfile


class Standing(NamedTuple):
    """What is known of an account when it logs in. `in_lobby`: its join there is complete, or it has left."""

    deleted: bool
    in_lobby: bool


def standing(connection: sa.Connection, account: AccountId) -> Standing | None:
    lobby = sa.and_(member.c.account == profile.c.id, member.c.chat == LOBBY)
    rows = profile.outerjoin(member, lobby)
    row = connection.execute(
        sa.select(profile.c.deleted, member.c.role, member.c.unread_from)
        .select_from(rows)
        .where(profile.c.id == account)
    ).one_or_none()
    if row is None:
        return None
    return Standing(row.deleted, row.role == Role.LEFT or row.unread_from is not None)


def add_profile(connection: sa.Connection, seed: EnsureProfile, now: int) -> bool:
    """Whether it was missing."""
    values = _nobody(seed.account, now) | {
        "uuid": seed.uuid,
        "nickname": seed.nickname,
        "icon_id": seed.icon_id,
        "signature": seed.signature,
        "vip": seed.vip,
        "created": seed.created or now,
    }
    statement = insert(connection, profile).values(values).on_conflict_do_nothing().returning(profile.c.id)
    return connection.execute(statement).one_or_none() is not None


def find_profile(connection: sa.Connection, account: AccountId) -> Profile | None:
    row = connection.execute(sa.select(profile).where(profile.c.id == account)).one_or_none()
    return None if row is None else Profile(**row._mapping)


def friends_of(connection: sa.Connection, account: AccountId, most: int) -> list[AccountId]:
    friends = sa.select(friendship.c.friend).where(friendship.c.account == account).order_by(friendship.c.friend)
    return [AccountId(number) for number in connection.execute(friends.limit(most)).scalars()]


def set_profile(connection: sa.Connection, account: AccountId, values: Mapping[str, str | int], now: int) -> bool:
    """Whether there is such an account that is not deleted."""
    statement = sa.update(profile).where(profile.c.id == account, profile.c.deleted.is_(False))
    return connection.execute(statement.values(**values, public_updated=moved(now))).rowcount == 1


def erase_profile(connection: sa.Connection, account: AccountId, uuid: str, now: int) -> bool:
    """Whether it was not erased before. One that never was is made as a deleted one, so that it never will be."""
    values = _nobody(account, now) | {"uuid": uuid, "nickname": DELETED_NICKNAME, "deleted": True}
    changes = {**values, "created": profile.c.created, "public_updated": moved(now), "private_updated": moved(now)}
    statement = insert(connection, profile).values(values)
    erased = statement.on_conflict_do_update(
        index_elements=[profile.c.id], set_=changes, where=profile.c.deleted.is_(False)
    ).returning(profile.c.id)
    return connection.execute(erased).one_or_none() is not None


def end_friendships(connection: sa.Connection, account: AccountId, now: int) -> bool:
    """End a number of them; whether there were any."""
    friends = friends_of(connection, account, SLICE)
    lock_living(connection, friends)
    forth = sa.and_(friendship.c.account == account, friendship.c.friend.in_(friends))
    back = sa.and_(friendship.c.account.in_(friends), friendship.c.friend == account)
    connection.execute(sa.delete(friendship).where(sa.or_(forth, back)))
    touch(connection, friends, now)
    return bool(friends)


def _nobody(account: AccountId, now: int) -> dict[str, str | int | bool]:
    return {
        "id": account, "uuid": "", "nickname": "", "avatar": "", "avatar_hash": "", "icon_id": 0, "signature": "",
        "vip": 0, "status": 0, "created": now, "public_updated": now, "private_updated": now, "deleted": False,
    }  # fmt: skip
