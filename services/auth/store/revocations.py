"""Stored revocations and the maintenance flag. Every function is one step of a transaction."""

from collections.abc import Collection

import sqlalchemy as sa

from services.auth.tables import accounts, logins, revocations, state
from shared.contract.auth import Revocation, Revocations
from shared.contract.ids import AccountId

REVOCATIONS_PER_PAGE = 1000
"""The most revocations in one reply to ListRevocations. They take about 70 KiB."""


def revoke(connection: sa.Connection, account: AccountId, sid: str, seconds: int) -> Revocation:
    """Voids the tokens of one login or, without `sid`, all tokens of the account. A token is void if its
    revision is lower than the revocation's number. `seconds`: Unix seconds. Before a call that voids all tokens, the
    caller must lock the account's row."""
    count = state.update().where(state.c.name == "revocations").values(value=state.c.value + 1).returning(state.c.value)
    revocation = Revocation(connection.execute(count).scalar_one(), account, sid, seconds)
    connection.execute(revocations.insert().values(number=revocation.number, account=account, sid=sid, seconds=seconds))
    ended = sa.select(logins.c.sid).where(logins.c.account == account).order_by(logins.c.sid).with_for_update()
    ended = ended.where(logins.c.sid == sid) if sid else ended
    connection.execute(logins.delete().where(logins.c.sid.in_(ended)))  # the rows are locked as in `mark_used`
    return revocation


def lock_accounts(connection: sa.Connection, numbers: Collection[AccountId]) -> None:
    """Locks the rows of these accounts, in order. A transaction that revokes tokens of several accounts must call this
    before its first revocation. A revocation locks the row of the counter until the transaction ends. With another
    order of locks, two such transactions could wait for each other."""
    rows = sa.select(accounts.c.id).where(accounts.c.id.in_(numbers)).order_by(accounts.c.id)
    connection.execute(rows.with_for_update())


def lock_active(connection: sa.Connection, account: AccountId) -> bool:
    """Returns whether the account is neither disabled nor deleted. The row stays locked, so that a revocation of all
    tokens of the account is committed before or after this transaction."""
    active = sa.select(accounts.c.id).where(accounts.c.id == account, accounts.c.uuid.is_not(None))
    return connection.execute(active.where(~accounts.c.disabled).with_for_update()).first() is not None


def is_revoked_since(connection: sa.Connection, account: AccountId, revision: int) -> bool:
    """Whether all tokens of the account with this revision are void."""
    found = sa.select(revocations.c.number).where(revocations.c.account == account, revocations.c.sid == "")
    return connection.execute(found.where(revocations.c.number > revision).limit(1)).first() is not None


def is_revoked(connection: sa.Connection, account: AccountId, sid: str) -> bool:
    found = sa.select(revocations.c.number).where(revocations.c.account == account, revocations.c.sid == sid)
    return connection.execute(found.limit(1)).first() is not None


def list_revocations(connection: sa.Connection, since: int) -> Revocations:
    """One page of the revocations with numbers above `since`, in the order of numbers."""
    facts = {row.name: row.value for row in connection.execute(sa.select(state))}
    last, page = facts["revocations"], list[Revocation]()
    if last > since:
        later = revocations.select().where(revocations.c.number > since).order_by(revocations.c.number)
        later = later.limit(REVOCATIONS_PER_PAGE)
        page = [Revocation(row.number, row.account, row.sid, row.seconds) for row in connection.execute(later)]
    more = bool(page) and len(page) == REVOCATIONS_PER_PAGE and page[-1].number < last
    return Revocations(last, page, bool(facts["maintenance"]), more)


def last_number(connection: sa.Connection) -> int:
    """The highest revocation number."""
    value: int = connection.execute(sa.select(state.c.value).where(state.c.name == "revocations")).scalar_one()
    return value


def set_maintenance(connection: sa.Connection, on: bool) -> None:
    connection.execute(state.update().where(state.c.name == "maintenance").values(value=int(on)))


def purge(connection: sa.Connection, before_seconds: int) -> None:
    """Deletes revocations that no valid token can match any more."""
    connection.execute(revocations.delete().where(revocations.c.seconds < before_seconds))
