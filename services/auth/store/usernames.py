"""Keys and looks of usernames: accounts that have one of them in common have names that look alike.

A new account gets both at registration. Accounts from before they existed, or registered by a replica that does not
know them, get theirs here. Of accounts that look alike one has twin 0, and the others have their own number there: all
keep their names, and no further account gets such a name.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.auth.tables import IS_TWIN, LACKS_KEY, LACKS_LOOK, accounts, state
from shared.database import make_engine
from shared.names import fold, keys_version, name_key, name_look
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
    .values(username_key=sa.bindparam("key"), username_look=sa.bindparam("look"), username_twin=sa.bindparam("twin"))
)

_log = log(__name__)


def is_taken(connection: sa.Connection, username: str) -> bool:
    """Whether an account has a name that looks like this one, twin or not."""
    alike = _looks_like(username), accounts.c.username.is_not(None)
    return connection.execute(sa.select(accounts.c.id).where(*alike).limit(1)).first() is not None


def resolve(connection: sa.Connection, identifier: str) -> str:
    """The username that the identifier names: itself, or the only one that differs in case and Unicode's form alone.
    The identifier, if there is none."""
    same_key = sa.select(accounts.c.username).where(accounts.c.username_key == name_key(identifier.strip()))
    names = list(connection.scalars(same_key.where(accounts.c.username.is_not(None))))
    folded = fold(identifier.strip())
    equal = [name for name in names if fold(name) == folded]
    return equal[0] if len(equal) == 1 and identifier not in names else identifier


def key_missing(connection: sa.Connection, limit: int = BATCH) -> int:
    """A step of a transaction: gives keys and looks to accounts that lack one, and removes those of deleted accounts,
    which a replica that does not know them has left. Returns the number of accounts; fewer than `limit`: no more lack
    one."""
    rows: dict[int, str | None] = {}
    for lacks in (LACKS_KEY, LACKS_LOOK):
        lacking = _NAMED.where(lacks).order_by(accounts.c.username.is_not(None), accounts.c.id).limit(limit - len(rows))
        rows |= {row.id: row.username for row in connection.execute(lacking)}
    if deleted := [account for account, username in rows.items() if username is None]:
        cleared = accounts.update().where(accounts.c.id.in_(deleted), accounts.c.username.is_(None))
        connection.execute(cleared.values(username_key=None, username_look=None, username_twin=0))
    _give_keys(connection, rows)
    return len(rows)


def _looks_like(username: str) -> sa.ColumnElement[bool]:
    return sa.or_(accounts.c.username_key == name_key(username), accounts.c.username_look == name_look(username))


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
    keys = {account: (name_key(name), name_look(name)) for account, name in usernames.items() if name is not None}
    if not keys:
        return
    holders = [
        _holders(connection, column, {both[at] for both in keys.values()})
        for at, column in enumerate((accounts.c.username_key, accounts.c.username_look))
    ]
    changes = []
    for account, both in keys.items():
        others = {held[text] for held, text in zip(holders, both, strict=True) if text in held} - {account}
        if others:
            _log.warning("usernames look alike", account=account, other=min(others))
        else:
            for held, text in zip(holders, both, strict=True):
                held[text] = account
        changes.append({"account": account, "key": both[0], "look": both[1], "twin": account if others else 0})
    connection.execute(_SET_KEY, changes)


def _holders(connection: sa.Connection, column: sa.Column[str], texts: set[str]) -> dict[str, int]:
    """The accounts with twin 0 that have these keys, or these looks."""
    held = sa.select(column.label("text"), accounts.c.id).where(column.in_(texts), accounts.c.username_twin == 0)
    return {row.text: row.id for row in connection.execute(held)}


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
    for numbers in list_alike(connection):
        yield f"accounts {', '.join(map(str, numbers))} have usernames that look alike"


def list_alike(connection: sa.Connection) -> list[list[int]]:
    """The accounts whose usernames look alike, in groups, up to 100."""
    twins = sa.select(accounts.c.username).where(IS_TWIN, accounts.c.username.is_not(None)).order_by(accounts.c.id)
    groups: dict[tuple[int, ...], None] = {}
    for username in connection.scalars(twins.limit(_REPORTED)).all():
        alike = sa.select(accounts.c.id).where(_looks_like(username)).order_by(accounts.c.id)
        groups[tuple(connection.scalars(alike))] = None
    return [list(numbers) for numbers in groups if len(numbers) > 1]
