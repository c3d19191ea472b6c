"""Profiles."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.session.domain import DELETED_NICKNAME, LOBBY, ascii_lower
from services.session.store.sql import HAS_NICK, next_change_time, slices, taken_as
from services.session.tables import ascii_lower as folded
from services.session.tables import member, profile
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Profile, ProfileSummary, Role
from shared.contract.session import EnsureProfile
from shared.sql import insert

# The statements are built once, because they run at every login.
_PROFILE = sa.select(profile).where(profile.c.id == sa.bindparam("account"))
_PROFILES = sa.select(profile).where(profile.c.id.in_(sa.bindparam("accounts", expanding=True)))
_SUMMARIES = sa.select(
    profile.c.id, profile.c.nickname, profile.c.uuid, profile.c.public_updated, profile.c.nick, profile.c.guest,
    sa.case((profile.c.guest != "", profile.c.signature), else_=""),
).where(profile.c.id.in_(sa.bindparam("accounts", expanding=True)))  # fmt: skip


class AccountState(NamedTuple):
    """An account's state at login. `in_lobby`: the account's join of the lobby is finished, or the account has left the
    lobby."""

    deleted: bool
    in_lobby: bool
    uuid: str
    nick: str
    guest: str = ""


def account_state(connection: sa.Connection, account: AccountId) -> AccountState | None:
    lobby = sa.and_(member.c.account == profile.c.id, member.c.chat == LOBBY)
    rows = profile.outerjoin(member, lobby)
    row = connection.execute(
        sa.select(
            profile.c.deleted, profile.c.uuid, profile.c.nick, profile.c.guest, member.c.role, member.c.unread_from
        )
        .select_from(rows)
        .where(profile.c.id == account)
    ).one_or_none()
    if row is None:
        return None
    in_lobby = row.role == Role.LEFT or row.unread_from is not None
    return AccountState(row.deleted, in_lobby, row.uuid, row.nick, row.guest)


def add_profile(connection: sa.Connection, seed: EnsureProfile, now: int) -> bool:
    """Create a missing profile. Returns whether it was missing."""
    with suppress(IntegrityError), connection.begin_nested():
        return _add_profile(connection, seed, now)
    return _add_profile(connection, seed, now)  # another transaction has just taken the nick


def _add_profile(connection: sa.Connection, seed: EnsureProfile, now: int) -> bool:
    values = _default_values(seed.account, now) | {
        "uuid": seed.uuid,
        "nickname": seed.nickname,
        "icon_id": seed.icon_id,
        "signature": seed.signature,
        "vip": seed.vip,
        "created": seed.created or now,
        "bot": seed.bot,
        "nick": "" if is_nick_taken(connection, seed.nick) else seed.nick,
        "guest": seed.guest,
    }
    insertion = insert(connection, profile).values(values).on_conflict_do_nothing(index_elements=[profile.c.id])
    return connection.execute(insertion.returning(profile.c.id)).one_or_none() is not None


def is_nick_taken(connection: sa.Connection, nick: str, but: AccountId = NO_ACCOUNT) -> bool:
    """Whether an account other than `but` has this nick."""
    taken = sa.select(profile.c.id).where(folded(profile.c.nick) == ascii_lower(nick), HAS_NICK)
    return bool(nick) and connection.execute(taken.where(profile.c.id != but)).first() is not None


def check_nick(connection: sa.Connection, account: AccountId, nick: str) -> str:
    """Check that a guest can change its nick to `nick`. Returns the guest's present nick. Raises RequestError."""
    own = sa.select(profile.c.nick).where(profile.c.id == account, profile.c.guest != "")
    present = connection.execute(own).scalar_one_or_none()
    if present is None:
        raise RequestError(ErrorCode.FORBIDDEN, "only a guest can have such a name", "nick", reason=Reason.WRONG_KIND)
    if is_nick_taken(connection, nick, but=account):
        raise _nick_taken()
    return str(present)


def _nick_taken() -> RequestError:
    return RequestError(ErrorCode.CONFLICT, "another account has this nick", "nick", 0, Reason.TAKEN)


def set_nick(connection: sa.Connection, account: AccountId, nick: str, now: int) -> None:
    """Set an account's nick, which is its username. Does nothing if another account has this nick."""
    if not is_nick_taken(connection, nick, but=account):
        own = sa.update(profile).where(profile.c.id == account, profile.c.deleted.is_(False))
        with suppress(IntegrityError), connection.begin_nested():  # another transaction may have just taken the nick
            connection.execute(own.values(nick=nick, public_updated=next_change_time(now)))


def register_guest(connection: sa.Connection, seed: EnsureProfile, now: int) -> Profile | None:
    """Makes a guest's profile the profile of a registered user. Returns None if it already is."""
    own = sa.update(profile).where(profile.c.id == seed.account, profile.c.guest != "")
    named = {"nickname": seed.nickname, "signature": seed.signature, "guest": ""}
    changed = own.values(named | {"public_updated": next_change_time(now)}).returning(profile)
    row = connection.execute(changed).one_or_none()
    return None if row is None else Profile(**row._mapping)


def insert_system(connection: sa.Connection, seed: EnsureProfile, now: int) -> None:
    """Create the system account's profile, or set its nickname."""
    if add_profile(connection, seed, now):
        return
    renamed = sa.update(profile).where(profile.c.id == seed.account, profile.c.nickname != seed.nickname)
    connection.execute(renamed.values(nickname=seed.nickname, public_updated=next_change_time(now)))


def list_active(connection: sa.Connection, after: AccountId, limit: int) -> list[AccountId]:
    """A page of the accounts that are not deleted, ascending, after `after`."""
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
    with taken_as(connection, _nick_taken()):
        row = connection.execute(changed).one_or_none()
    return None if row is None else Profile(**row._mapping)


def summaries_of(connection: sa.Connection, accounts: Sequence[AccountId]) -> dict[AccountId, ProfileSummary]:
    """The profile summaries of accounts, including deleted accounts."""
    rows = (row for some in slices(accounts) for row in connection.execute(_SUMMARIES, {"accounts": some}))
    return {AccountId(account): ProfileSummary(*summary) for account, *summary in rows}


def find_by_uuids(connection: sa.Connection, uuids: Sequence[str]) -> dict[str, AccountId]:
    """Active accounts by uuid. If two accounts have the same uuid, the newer account is returned, because the deletion
    of the older account has not arrived yet."""
    named = sa.select(profile.c.uuid, profile.c.id).where(profile.c.uuid.in_(uuids), profile.c.deleted.is_(False))
    return {row.uuid: AccountId(row.id) for row in connection.execute(named.order_by(profile.c.id))}


def erase_profile(connection: sa.Connection, account: AccountId, uuid: str, now: int) -> bool:
    """Anonymise a profile. Returns whether it was not erased before. A missing profile is inserted as a deleted
    profile, so that it is never created later."""
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
        "nick": "", "guest": "", "vip": 0, "status": 0, "created": now, "public_updated": now, "private_updated": now,
        "deleted": False,
    }  # fmt: skip
