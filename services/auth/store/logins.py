"""Logins: each has a token of its own, and ends when the token expires or is revoked. Every function is one step of a
transaction. Logins at a replica that keeps no list are missing."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from services.auth.domain import RefreshToken
from services.auth.store import trail
from services.auth.store.revocations import is_revoked_since, last_number, lock_active, revoke
from services.auth.tables import logins, revocations
from shared.contract.admin import Act
from shared.contract.auth import LoginView, Revocation
from shared.contract.ids import AccountId

LISTED = 200
_NEWEST_FIRST = logins.c.created.desc(), logins.c.sid
IS_REVOKED = sa.exists().where(
    revocations.c.account == logins.c.account,
    sa.or_(
        revocations.c.sid == logins.c.sid,
        sa.and_(
            revocations.c.sid == "",
            sa.or_(
                revocations.c.number > logins.c.revision,
                sa.and_(logins.c.revision.is_(None), logins.c.created < revocations.c.seconds * 1000),
            ),
        ),
    ),
)
"""A replica that keeps no list revokes logins and leaves them here. One of the version before adds them without a
revision."""


@dataclass(frozen=True, slots=True)
class NewLogin:
    """`revision`: of its token, when the secret was read that it has matched."""

    login: LoginView
    revision: int
    refresh: RefreshToken | None = field(default=None, repr=False)


def add(
    connection: sa.Connection, account: AccountId, new: NewLogin, most: int, seconds: int
) -> list[Revocation] | None:
    """Adds a login. If the account has more than `most` (0: any number), ends the oldest ones at `seconds` (Unix).
    None: all logins of the account were ended after the secret was read, or it is disabled or deleted."""
    if not lock_active(connection, account) or is_revoked_since(connection, account, new.revision):
        return None
    login, refresh = new.login, new.refresh
    connection.execute(
        logins.insert().values(
            sid=login.sid, account=account, created=login.created, expires=login.expires, revision=new.revision,
            address=login.address, client=login.client, device=login.device,
            refresh_family=refresh and refresh.family_hash, refresh_part=refresh and refresh.part_hash,
        )
    )  # fmt: skip
    trail.add(connection, Act("log in", account, "user", login.address, login.client))
    if not most:
        return []
    valid = _valid(account, seconds).where(logins.c.sid != login.sid).offset(most - 1)
    return [revoke(connection, account, row.sid, seconds) for row in connection.execute(valid).all()]


def list_valid(connection: sa.Connection, account: AccountId, seconds: int) -> list[LoginView]:
    """The newest valid logins at `seconds` (Unix), newest first."""
    found = connection.execute(_valid(account, seconds).limit(LISTED))
    return [LoginView(row.sid, row.created, row.expires, row.address, row.client, row.device) for row in found]


def device(connection: sa.Connection, account: AccountId, sid: str) -> str:
    """The name of a login's device; empty without such a login."""
    named = sa.select(logins.c.device).where(logins.c.sid == sid, logins.c.account == account)
    return connection.execute(named).scalar() or ""


def end(connection: sa.Connection, account: AccountId, sid: str, seconds: int) -> Revocation | None:
    """None: the account has no such valid login."""
    found = connection.execute(_valid(account, seconds).where(logins.c.sid == sid)).first()
    return None if found is None else revoke(connection, account, sid, seconds)


def purge_expired(connection: sa.Connection, seconds: int) -> None:
    connection.execute(logins.delete().where(logins.c.expires < seconds))


def purge_revoked(connection: sa.Connection, before_seconds: int) -> None:
    """Deletes logins that revocations from before then (Unix) have ended: these are forgotten next, and a refresh
    token lives longer."""
    old = sa.select(revocations.c.account).where(revocations.c.seconds < before_seconds)
    connection.execute(logins.delete().where(logins.c.account.in_(old), IS_REVOKED))


def _valid(account: AccountId, seconds: int) -> sa.Select:  # type: ignore[type-arg]
    valid = sa.select(logins).where(logins.c.account == account, logins.c.expires >= seconds, ~IS_REVOKED)
    return valid.order_by(*_NEWEST_FIRST)


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
