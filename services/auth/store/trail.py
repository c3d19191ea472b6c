"""The audit trail: logins, changed secrets, deletions, and the acts of operators. Every function is one step of a
transaction. The audit trail holds no secret, no name and no content."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, TypeVarTuple

import sqlalchemy as sa

from services.auth.tables import trail
from shared.clock import now_ms
from shared.contract.admin import Act, SearchTrail, Trail
from shared.contract.auth import TokenLogin
from shared.contract.ids import NO_ACCOUNT, AccountId

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_PAGE = 200
BY_TOKEN = "log in by token"  # noqa: S105
_TOKEN_LOGINS = 20


def add(connection: sa.Connection, act: Act) -> None:
    connection.execute(
        trail.insert().values(
            time=now_ms(), account=act.account, act=act.act, by=act.by, address=act.address, detail=act.detail
        )
    )


def add_all(connection: sa.Connection, acts: Iterable[Act]) -> None:
    for act in acts:
        add(connection, act)


def add_token_logins(connection: sa.Connection, logins: Sequence[TokenLogin], since: int) -> None:
    """Adds entries for logins by token. From `since` (Unix milliseconds) on, each account gets one entry for each
    network, and at most `_TOKEN_LOGINS` entries in all."""
    accounts = {login.account for login in logins}
    recent = sa.select(trail.c.account, trail.c.address).where(
        trail.c.account.in_(accounts), trail.c.act == BY_TOKEN, trail.c.time >= since
    )
    networks: dict[int, set[str]] = {account: set() for account in accounts}
    for row in connection.execute(recent):
        networks[row.account].add(row.address)
    for login in logins:
        seen = networks[login.account]
        if login.network not in seen and len(seen) < _TOKEN_LOGINS:
            seen.add(login.network)
            add(connection, Act(BY_TOKEN, login.account, "user", login.network, login.client))


def recorded(step: Callable[[Any, *Ts], T], act: Act) -> Callable[[Any, *Ts], T]:
    """Returns the step, extended to store the act in the trail in the same transaction. The act is stored unless the
    result is None or False."""

    def run(connection: sa.Connection, *args: *Ts) -> T:
        if result := step(connection, *args):
            add(connection, act)
        return result

    return run


def search(connection: sa.Connection, request: SearchTrail) -> Trail:
    """One page, newest first."""
    found = sa.select(trail).where(trail.c.time >= request.since)
    if request.account != NO_ACCOUNT:
        found = found.where(trail.c.account == request.account)
    if request.act:
        found = found.where(trail.c.act == request.act)
    if request.before:
        found = found.where(trail.c.id < request.before)
    rows = connection.execute(found.order_by(trail.c.id.desc()).limit(_PAGE)).all()
    acts = [
        Act(row.act, AccountId(row.account), row.by, row.address, row.detail, time=row.time, number=row.id)
        for row in rows
    ]
    return Trail(acts, len(acts) == _PAGE)


def purge(connection: sa.Connection, before: int) -> None:
    """Deletes acts from before `before` (Unix milliseconds)."""
    connection.execute(trail.delete().where(trail.c.time < before))
