"""Profiles."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.session.domain import DELETED_NICKNAME, LOBBY
from services.session.store.sql import insert, next_change_time
from services.session.tables import member, profile
from shared.contract.ids import AccountId
from shared.contract.model import Profile, ProfileSummary, Role
from shared.contract.session import EnsureProfile

# Built once: these run at every login.
_PROFILE = sa.select(profile).where(profile.c.id == sa.bindparam("account"))
_PROFILES = sa.select(profile).where(profile.c.id.in_(sa.bindparam("accounts", expanding=True)))
_SUMMARIES = sa.select(profile.c.id, profile.c.nickname, profile.c.uuid).where(
    profile.c.id.in_(sa.bindparam("accounts", expanding=True))
)


class AccountState(NamedTuple):
    """An account's state at login. `in_lobby`: its join there is finished, or it has left."""

    deleted: bool
    in_lobby: bool
    uuid: str


def account_state(connection: sa.Connection, account: AccountId) -> AccountState | None:
    lobby = sa.and_(member.c.account == profile.c.id, member.c.chat == LOBBY)
    rows = profile.outerjoin(member, lobby)
    row = connection.execute(
        sa.select(profile.c.deleted, profile.c.uuid, member.c.role, member.c.unread_from)
        .select_from(rows)
        .where(profile.c.id == account)
    ).one_or_none()
    if row is None:
        return None
    return AccountState(row.deleted, row.role == Role.LEFT or row.unread_from is not None, row.uuid)


def add_profile(connection: sa.Connection, seed: EnsureProfile, now: int) -> bool:
    """Create a missing profile. Returns whether it was missing."""
    values = _default_values(seed.account, now) | {
        "uuid": seed.uuid,
        "nickname": seed.nickname,
        "icon_id": seed.icon_id,
        "signature": seed.signature,
        "vip": seed.vip,
        "created": seed.created or now,
        "bot": seed.bot,
    }
    statement = insert(connection, profile).values(values).on_conflict_do_nothing().returning(profile.c.id)
    return connection.execute(statement).one_or_none() is not None


def insert_system(connection: sa.Connection, seed: EnsureProfile, now: int) -> None:
    """Create the system account's profile, or set its nickname."""
    if add_profile(connection, seed, now):
        return
    renamed = sa.update(profile).where(profile.c.id == seed.account, profile.c.nickname != seed.nickname)
    connection.execute(renamed.values(nickname=seed.nickname, public_updated=next_change_time(now)))


def list_active(connection: sa.Connection, after: AccountId, limit: int) -> list[AccountId]:
    """Accounts that are not deleted, ascending, a page after `after`."""
    active = sa.select(profile.c.id).where(profile.c.id > after, profile.c.deleted.is_(False))
    rows = connection.execute(active.order_by(profile.c.id).limit(limit)).scalars()
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
    """The changed profile; None when the account is unknown or deleted."""
    statement = sa.update(profile).where(profile.c.id == account, profile.c.deleted.is_(False))
    changed = statement.values(**values, public_updated=next_change_time(now)).returning(profile)
    row = connection.execute(changed).one_or_none()
    return None if row is None else Profile(**row._mapping)


def summaries_of(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, ProfileSummary]:
    """Profile summaries, also of deleted accounts."""
    rows = connection.execute(_SUMMARIES, {"accounts": accounts})
    return {AccountId(account): ProfileSummary(nickname, uuid) for account, nickname, uuid in rows}


def find_by_uuids(connection: sa.Connection, uuids: Sequence[str]) -> dict[str, AccountId]:
    """Active accounts by uuid. Of two with one uuid, the newer: the deletion of the older has not arrived yet."""
    named = sa.select(profile.c.uuid, profile.c.id).where(profile.c.uuid.in_(uuids), profile.c.deleted.is_(False))
    return {row.uuid: AccountId(row.id) for row in connection.execute(named.order_by(profile.c.id))}


def erase_profile(connection: sa.Connection, account: AccountId, uuid: str, now: int) -> bool:
    """Anonymise a profile. Returns whether it was not erased before. A missing profile is inserted as a deleted one,
    so that it is never created later."""
    values = _default_values(account, now) | {"uuid": uuid, "nickname": DELETED_NICKNAME, "deleted": True}
    changes = {
        **values,
        "created": profile.c.created,
        "public_updated": next_change_time(now),
        "private_updated": next_change_time(now),
    }
    statement = insert(connection, profile).values(values)
    erased = statement.on_conflict_do_update(
        index_elements=[profile.c.id], set_=changes, where=profile.c.deleted.is_(False)
    ).returning(profile.c.id)
    return connection.execute(erased).one_or_none() is not None


def _default_values(account: AccountId, now: int) -> dict[str, str | int | bool]:
    return {
        "id": account, "uuid": "", "nickname": "", "avatar": "", "avatar_hash": "", "icon_id": 0, "signature": "",
        "vip": 0, "status": 0, "created": now, "public_updated": now, "private_updated": now, "deleted": False,
    }  # fmt: skip
