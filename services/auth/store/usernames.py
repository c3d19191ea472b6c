"""Keys and looks of usernames. Two usernames with the same key or the same look are similar enough to be mistaken for
each other.

A new account gets its key and look at registration. When the data from which they are made have changed, this module
gives all accounts new ones. Old accounts may then look alike. One of them gets the twin number 0, and each other one
gets its own account number. So all of them keep their names, and no further account gets such a name.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.auth.tables import IS_TWIN, accounts, state
from shared.database import open_engine
from shared.names import fold, keys_version, name_key, name_look
from shared.sql import insert
from shared.telemetry import log

R = TypeVar("R")

_BATCH = 500
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


def is_taken(connection: sa.Connection, username: str, but: int = 0) -> bool:
    """Whether an account other than `but` has a username that looks like this one. The twin number does not matter."""
    alike = _looks_like(username), accounts.c.username.is_not(None), accounts.c.id != but
    return connection.execute(sa.select(accounts.c.id).where(*alike).limit(1)).first() is not None


def resolve(connection: sa.Connection, identifier: str) -> str:
    """Returns the username that the identifier names. If no username equals the identifier, and only one differs from
    it just in case and Unicode form, that one is named. Otherwise, returns the identifier itself."""
    same_key = sa.select(accounts.c.username).where(accounts.c.username_key == name_key(identifier.strip()))
    names = list(connection.scalars(same_key.where(accounts.c.username.is_not(None))))
    folded = fold(identifier.strip())
    equal = [name for name in names if fold(name) == folded]
    return equal[0] if len(equal) == 1 and identifier not in names else identifier


def _looks_like(username: str) -> sa.ColumnElement[bool]:
    return sa.or_(accounts.c.username_key == name_key(username), accounts.c.username_look == name_look(username))


def key_all(url: str) -> list[str]:
    """Gives all accounts new keys if the data for keys have changed. Replicas can work meanwhile, because each
    transaction is short. Returns a line for each name that several accounts share, up to 100. Raises
    sqlalchemy.exc.SQLAlchemyError."""
    with open_engine(url) as engine, engine.connect() as opened:
        connection = opened.execution_options(begin="BEGIN IMMEDIATE")
        _key_stale(connection)
        with connection.begin():
            return list(_describe(connection))


def _key_stale(connection: sa.Connection) -> None:
    with connection.begin():
        version = connection.execute(sa.select(state.c.value).where(_VERSION)).scalar_one_or_none()
    if version == keys_version():
        return
    last: int | None = 0
    while last is not None:
        last = _repeated(connection, partial(_key_next, after=last))
    with connection.begin():
        new = insert(connection, state).values(name="username_keys", value=keys_version())
        connection.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": new.excluded.value}))


def _key_next(connection: sa.Connection, after: int) -> int | None:
    """Gives new keys to the next accounts that have a username. Returns the last account, or None at the end."""
    keyed = _NAMED.where(accounts.c.id > after, accounts.c.username.is_not(None)).order_by(accounts.c.id).limit(_BATCH)
    rows = {row.id: row.username for row in connection.execute(keyed)}
    _give_keys(connection, rows)
    return max(rows, default=None)


def _give_keys(connection: sa.Connection, usernames: Mapping[int, str]) -> None:
    keys = {account: (name_key(name), name_look(name)) for account, name in usernames.items()}
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
    """Maps each of these keys (or looks) to the account that has it and the twin number 0."""
    held = sa.select(column.label("text"), accounts.c.id).where(column.in_(texts), accounts.c.username_twin == 0)
    return {row.text: row.id for row in connection.execute(held)}


def _repeated(connection: sa.Connection, step: Callable[[sa.Connection], R]) -> R:
    """Runs the step in a transaction. Repeats the step if a registration has taken one of its keys at the same time."""
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
