"""Refresh tokens: each login has one that is valid. Every function is one step of a transaction."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from services.auth.domain import RefreshToken
from services.auth.store import trail
from services.auth.store.logins import IS_REVOKED
from services.auth.store.revocations import last_number, lock_active, revoke
from services.auth.tables import logins
from shared.contract.admin import Act
from shared.contract.auth import Revocation
from shared.contract.ids import AccountId


@dataclass(frozen=True, slots=True)
class Rotation:
    """A request for the successor of `spent`, at `now` (Unix milliseconds). `salt` is random. `expires`: of the
    successor (Unix seconds). `address`: the client's."""

    spent: RefreshToken
    salt: str = field(repr=False)
    now: int
    expires: int
    grace_ms: int
    address: str


@dataclass(frozen=True, slots=True)
class RotatedLogin:
    """`issued`: of its token (Unix milliseconds); `salt`, `expires`: of its refresh token (Unix seconds). `revision`:
    of its tokens."""

    account: AccountId
    sid: str
    issued: int
    salt: str
    expires: int
    revision: int


def rotate(connection: sa.Connection, rotation: Rotation) -> RotatedLogin | Revocation | None:
    """A Revocation: the token was spent before, and its login is ended now. None: there is no such login, or its
    account is disabled or deleted."""
    family = logins.c.refresh_family == rotation.spent.family_hash
    account = connection.execute(sa.select(logins.c.account).where(family)).scalar()
    if account is None or not lock_active(connection, AccountId(account)):
        return None
    is_valid = sa.and_(family, logins.c.expires >= rotation.now // 1000, ~IS_REVOKED)
    successor = rotation.spent.successor(rotation.salt)
    change = logins.update().where(is_valid, logins.c.refresh_part == rotation.spent.part_hash).values(
        refresh_part=successor.part_hash, refresh_spent=rotation.spent.part_hash, refresh_salt=rotation.salt,
        refreshed=rotation.now, expires=rotation.expires,
    )  # fmt: skip
    is_rotated = connection.execute(change).rowcount == 1
    login = connection.execute(sa.select(logins).where(is_valid)).first()
    if login is None:
        return None
    if not is_rotated and not _is_repeated(login, rotation):
        return _end(connection, login, rotation)
    revision = last_number(connection) if login.revision is None else login.revision
    return RotatedLogin(
        AccountId(account), login.sid, max(login.refreshed, login.created), login.refresh_salt, login.expires, revision
    )


def _is_repeated(login: "sa.Row[tuple[object, ...]]", rotation: Rotation) -> bool:
    """Whether the reply to the same request was perhaps lost: its successor was not used."""
    is_last: bool = login.refresh_spent == rotation.spent.part_hash
    return is_last and rotation.now - login.refreshed <= rotation.grace_ms


def _end(connection: sa.Connection, login: "sa.Row[tuple[object, ...]]", rotation: Rotation) -> Revocation:
    account = AccountId(login.account)
    trail.add(connection, Act("reuse refresh token", account, "user", rotation.address, login.client))
    return revoke(connection, account, login.sid, rotation.now // 1000)
