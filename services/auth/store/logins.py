"""Logins. Each login has its own token, and ends when the token expires or is revoked. Every function is one step of a
transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from services.auth.domain import RefreshToken
from services.auth.store import trail
from services.auth.store.revocations import is_revoked_since, lock_active, revoke
from services.auth.tables import accounts, logins
from shared.contract.admin import Act
from shared.contract.auth import LoginView, Revocation, TokenLogin
from shared.contract.ids import AccountId

LISTED = 200
_NEWEST_FIRST = logins.c.created.desc(), logins.c.sid


@dataclass(frozen=True, slots=True)
class NewLogin:
    """`revision`: the revision that the token gets. It was read together with the secret that matched."""

    login: LoginView
    revision: int
    refresh: RefreshToken | None = field(default=None, repr=False)


def add(
    connection: sa.Connection, account: AccountId, new: NewLogin, most: int, seconds: int
) -> list[Revocation] | None:
    """Adds a login. If the account has more than `most` logins (0: any number), the oldest logins end at `seconds`
    (Unix). Returns None if all logins of the account were ended after the secret was read, or the account is disabled
    or deleted."""
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
    """The name of the login's device; empty if there is no such login."""
    named = sa.select(logins.c.device).where(logins.c.sid == sid, logins.c.account == account)
    return connection.execute(named).scalar() or ""


def end(connection: sa.Connection, account: AccountId, sid: str, seconds: int) -> Revocation | None:
    """Ends a login of the account by a revocation. Returns None if the account has no such valid login."""
    found = connection.execute(_valid(account, seconds).where(logins.c.sid == sid)).first()
    return None if found is None else revoke(connection, account, sid, seconds)


def valid_among(connection: sa.Connection, sids: Sequence[str], seconds: int) -> set[tuple[AccountId, str]]:
    """The valid logins among these at `seconds` (Unix), of accounts that are neither disabled nor deleted."""
    owners = accounts.c.id == logins.c.account, accounts.c.uuid.is_not(None), ~accounts.c.disabled
    valid = sa.select(logins.c.account, logins.c.sid).where(logins.c.sid.in_(sids), logins.c.expires >= seconds)
    rows = connection.execute(valid.where(*owners))
    return {(AccountId(row.account), row.sid) for row in rows}


def purge_expired(connection: sa.Connection, seconds: int) -> None:
    connection.execute(logins.delete().where(logins.c.expires < seconds))


def _valid(account: AccountId, seconds: int) -> sa.Select:  # type: ignore[type-arg]
    valid = sa.select(logins).where(logins.c.account == account, logins.c.expires >= seconds)
    return valid.order_by(*_NEWEST_FIRST)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A request for the successor of `spent`, at `now` (Unix milliseconds). `salt` is random. `expires`: when the
    successor expires (Unix seconds). `address`: the address of the client."""

    spent: RefreshToken
    salt: str = field(repr=False)
    now: int
    expires: int
    grace_ms: int
    address: str


@dataclass(frozen=True, slots=True)
class RotatedLogin:
    """`issued`: when the token was issued (Unix milliseconds). `salt` and `expires` (Unix seconds) belong to the
    login's refresh token. `salt` is empty if the refresh token stays. `revision`: the revision of the login's
    tokens."""

    account: AccountId
    sid: str
    issued: int
    salt: str
    expires: int
    revision: int


def rotate(connection: sa.Connection, rotation: Rotation) -> RotatedLogin | Revocation | None:
    """Returns a Revocation if the token was spent before; the call has then ended its login. Returns None if there is
    no such login, or its account is disabled or deleted.

    A new refresh token is not replaced during the grace period. So all requests of a client, even late ones, have
    either this token or the one before it."""
    family = logins.c.refresh_family == rotation.spent.family_hash
    account = connection.execute(sa.select(logins.c.account).where(family)).scalar()
    if account is None or not lock_active(connection, AccountId(account)):
        return None
    login = connection.execute(sa.select(logins).where(family, logins.c.expires >= rotation.now // 1000)).first()
    if login is None:
        return None
    # A token with an earlier time than the last refresh may have expired already.
    issued = max(rotation.now, login.refreshed or 0, login.created)
    rotated = RotatedLogin(AccountId(account), login.sid, issued, "", login.expires, login.revision)
    is_new = login.refreshed is not None and rotation.now - login.refreshed < rotation.grace_ms
    if login.refresh_part == rotation.spent.part_hash:
        change = {"refresh_used": True} if is_new else _successor(rotation)
        connection.execute(logins.update().where(family).values(change))
        return rotated if is_new else replace(rotated, salt=rotation.salt, expires=rotation.expires)
    if login.refresh_spent == rotation.spent.part_hash and (is_new or not login.refresh_used):
        return replace(rotated, salt=login.refresh_salt)
    return _end(connection, login, rotation)


def _successor(rotation: Rotation) -> dict[str, object]:
    return {
        "refresh_part": rotation.spent.successor(rotation.salt).part_hash,
        "refresh_spent": rotation.spent.part_hash,
        "refresh_salt": rotation.salt,
        "refreshed": rotation.now,
        "expires": rotation.expires,
        "refresh_used": False,
    }


def mark_used(connection: sa.Connection, used: Sequence[TokenLogin]) -> None:
    """Note that clients use the tokens that they got together with a refresh token. All calls lock the logins in the
    same order, so that none waits for another that waits for it."""
    tokens = [{"of": one.sid, "issued": one.issued} for one in sorted(used, key=lambda one: one.sid) if one.sid]
    if not tokens:
        return
    came_with = sa.and_(logins.c.sid == sa.bindparam("of"), logins.c.refreshed // 1000 <= sa.bindparam("issued"))
    change = logins.update().where(came_with, logins.c.refresh_used.is_(False)).values(refresh_used=True)
    connection.execute(change, tokens)


def _end(connection: sa.Connection, login: "sa.Row[tuple[object, ...]]", rotation: Rotation) -> Revocation:
    account = AccountId(login.account)
    trail.add(connection, Act("reuse refresh token", account, "user", rotation.address, login.client))
    return revoke(connection, account, login.sid, rotation.now // 1000)
