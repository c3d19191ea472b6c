"""Keys of usernames: accounts with the same key have names that look alike.

A new account gets its key at registration. Accounts from before keys existed, or registered by a replica that knows no
keys, get theirs here. Of accounts with the same key one has twin 0, and the others have their own number there: all
keep their names, and no further account gets such a name.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.auth.tables import IS_TWIN, LACKS_KEY, accounts, state
from shared.database import make_engine
from shared.names import keys_version, name_key
from shared.telemetry import log

R = TypeVar("R")

BATCH = 500
_REPORTED = 100
_TRIES = 3
_VERSION = state.c.name == "username_keys"
_NAMED = sa.select(accounts.c.id, accounts.c.username)
_SET_KEY = (
    accounts.update()
    .where(accounts.c.id == sa.bindparam("account"), accounts.c.username.is_not(None))
    .values(username_key=sa.bindparam("key"), username_twin=sa.bindparam("twin"))
)

_log = log(__name__)


def is_taken(connection: sa.Connection, username: str) -> bool:
    """Whether an account has a name with the same key, twin or not."""
    same = accounts.c.username_key == name_key(username), accounts.c.username.is_not(None)
    return connection.execute(sa.select(accounts.c.id).where(*same).limit(1)).first() is not None


def key_missing(connection: sa.Connection, limit: int = BATCH) -> int:
    """A step of a transaction: gives keys to accounts that lack one, and removes those of deleted accounts, which a
    replica that knows no keys has left. Returns the number of accounts; fewer than `limit`: no more lack one."""
    lacking = _NAMED.where(LACKS_KEY).order_by(accounts.c.username.is_not(None), accounts.c.id).limit(limit)
    rows = {row.id: row.username for row in connection.execute(lacking)}
    if deleted := [account for account, username in rows.items() if username is None]:
        cleared = accounts.update().where(accounts.c.id.in_(deleted), accounts.c.username.is_(None))
        connection.execute(cleared.values(username_key=None, username_twin=0))
    _give_keys(connection, rows)
    return len(rows)


def key_all(url: str) -> list[str]:
    """Brings the keys of all accounts up to date, in short transactions beside working replicas: those that are
    missing, and all if the data of keys have changed. Returns a line for each name that several accounts share, up to
    100. Raises sqlalchemy.exc.SQLAlchemyError."""
    engine = make_engine(url)
    try:
        with engine.connect() as opened:
            connection = opened.execution_options(begin="BEGIN IMMEDIATE")
            _key_stale(connection)
            while _repeated(connection, key_missing) == BATCH:
                pass
            with connection.begin():
                return list(_describe(connection))
    finally:
        engine.dispose()


def _key_stale(connection: sa.Connection) -> None:
    with connection.begin():
        version = connection.execute(sa.select(state.c.value).where(_VERSION)).scalar_one_or_none()
    if version == keys_version():
        return
    last: int | None = 0
    while last is not None:
        last = _repeated(connection, partial(_key_next, after=last))
    with connection.begin():
        connection.execute(state.delete().where(_VERSION))
        connection.execute(state.insert().values(name="username_keys", value=keys_version()))


def _key_next(connection: sa.Connection, after: int) -> int | None:
    """Gives new keys to the next accounts that have one. Returns the last account, or None at the end."""
    keyed = _NAMED.where(accounts.c.id > after, accounts.c.username.is_not(None)).order_by(accounts.c.id).limit(BATCH)
    rows = {row.id: row.username for row in connection.execute(keyed)}
    _give_keys(connection, rows)
    return max(rows, default=None)


def _give_keys(connection: sa.Connection, usernames: Mapping[int, str | None]) -> None:
    keys = {account: name_key(username) for account, username in usernames.items() if username is not None}
    if not keys:
        return
    held = sa.select(accounts.c.username_key, accounts.c.id)
    held = held.where(accounts.c.username_key.in_(set(keys.values())), accounts.c.username_twin == 0)
    holders: dict[str, int] = {row.username_key: row.id for row in connection.execute(held)}
    twins = {account for account, key in keys.items() if holders.setdefault(key, account) != account}
    changes = [{"account": one, "key": key, "twin": one if one in twins else 0} for one, key in keys.items()]
    connection.execute(_SET_KEY, changes)
    for account in sorted(twins):
        _log.warning("usernames look alike", account=account, other=holders[keys[account]])


def _repeated(connection: sa.Connection, step: Callable[[sa.Connection], R]) -> R:
    """One transaction, repeated when a registration has got one of its keys meanwhile."""
    for _ in range(_TRIES - 1):
        try:
            with connection.begin():
                return step(connection)
        except IntegrityError:
            continue
    with connection.begin():
        return step(connection)


def _describe(connection: sa.Connection) -> Iterator[str]:
    twins = sa.select(accounts.c.username_key).where(IS_TWIN).distinct().order_by(accounts.c.username_key)
    shared = list(connection.scalars(twins.limit(_REPORTED)))
    alike = sa.select(accounts.c.username_key, accounts.c.id).where(accounts.c.username_key.in_(shared))
    rows = connection.execute(alike.order_by(accounts.c.username_key, accounts.c.id))
    for _, group in groupby(rows, key=lambda row: row.username_key):
        numbers = [str(row.id) for row in group]
        if len(numbers) > 1:
            yield f"accounts {', '.join(numbers)} have usernames that look alike"
