"""Logins: each has a token of its own, and ends when the token expires or is revoked. Every function is one step of a
transaction. Logins at a replica that keeps no list are missing."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from services.auth.domain import RefreshToken
from services.auth.store import trail
from services.auth.store.revocations import is_revoked_since, lock_active, revoke
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
