"""Profiles."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.session.domain import DELETED_NICKNAME, LOBBY
from services.session.store.sql import insert, moved
from services.session.tables import member, profile
from shared.contract.ids import AccountId
from shared.contract.model import Profile, ProfileSummary, Role
from shared.contract.session import EnsureProfile

# Made once: what is asked at every login.
_PROFILE = sa.select(profile).where(profile.c.id == sa.bindparam("account"))
_PROFILES = sa.select(profile).where(profile.c.id.in_(sa.bindparam("accounts", expanding=True)))
_FACES = sa.select(profile.c.id, profile.c.nickname, profile.c.uuid).where(
    profile.c.id.in_(sa.bindparam("accounts", expanding=True))
)


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


def introduce(connection: sa.Connection, seed: EnsureProfile, now: int) -> None:
    """A profile that is there under this nickname, whatever it was called before."""
    if add_profile(connection, seed, now):
        return
    renamed = sa.update(profile).where(profile.c.id == seed.account, profile.c.nickname != seed.nickname)
    connection.execute(renamed.values(nickname=seed.nickname, public_updated=moved(now)))


def living_after(connection: sa.Connection, account: AccountId, most: int) -> list[AccountId]:
    """Ascending."""
    living = sa.select(profile.c.id).where(profile.c.id > account, profile.c.deleted.is_(False))
    rows = connection.execute(living.order_by(profile.c.id).limit(most)).scalars()
    return [AccountId(number) for number in rows]


def find_profile(connection: sa.Connection, account: AccountId) -> Profile | None:
    row = connection.execute(_PROFILE, {"account": account}).mappings().one_or_none()
    return None if row is None else Profile(**row)


def find_profiles(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, Profile]:
    rows = connection.execute(_PROFILES, {"accounts": accounts}).mappings()
    return {AccountId(row["id"]): Profile(**row) for row in rows}


def set_profile(
    connection: sa.Connection, account: AccountId, values: Mapping[str, str | int], now: int
) -> Profile | None:
    """The profile as it is now; None when there is no such account, or a deleted one."""
    statement = sa.update(profile).where(profile.c.id == account, profile.c.deleted.is_(False))
    changed = statement.values(**values, public_updated=moved(now)).returning(profile)
    row = connection.execute(changed).one_or_none()
    return None if row is None else Profile(**row._mapping)


def faces_of(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, ProfileSummary]:
    """Also those of deleted accounts."""
    rows = connection.execute(_FACES, {"accounts": accounts})
    return {AccountId(account): ProfileSummary(nickname, uuid) for account, nickname, uuid in rows}


def accounts_of(connection: sa.Connection, uuids: Sequence[str]) -> dict[str, AccountId]:
    """Of two with the same uuid (the older one's deletion is on its way), the newer."""
    named = sa.select(profile.c.uuid, profile.c.id).where(profile.c.uuid.in_(uuids), profile.c.deleted.is_(False))
    return {row.uuid: AccountId(row.id) for row in connection.execute(named.order_by(profile.c.id))}


def erase_profile(connection: sa.Connection, account: AccountId, uuid: str, now: int) -> bool:
    """Whether it was not erased before. One that never was is made as a deleted one, so that it never will be."""
    values = _nobody(account, now) | {"uuid": uuid, "nickname": DELETED_NICKNAME, "deleted": True}
    changes = {**values, "created": profile.c.created, "public_updated": moved(now), "private_updated": moved(now)}
    statement = insert(connection, profile).values(values)
    erased = statement.on_conflict_do_update(
        index_elements=[profile.c.id], set_=changes, where=profile.c.deleted.is_(False)
    ).returning(profile.c.id)
    return connection.execute(erased).one_or_none() is not None


def _nobody(account: AccountId, now: int) -> dict[str, str | int | bool]:
    return {
        "id": account, "uuid": "", "nickname": "", "avatar": "", "avatar_hash": "", "icon_id": 0, "signature": "",
        "vip": 0, "status": 0, "created": now, "public_updated": now, "private_updated": now, "deleted": False,
    }  # fmt: skip
