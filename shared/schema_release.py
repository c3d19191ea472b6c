"""The release that last migrated a database, and the oldest one that may work on it.

A version works on a database of the next one, and of no later one: what it reads may be gone there. A revision that it
does not know tells nothing about that, so each database says it, in a table beside Alembic's.
"""

import re
from importlib.metadata import version

import sqlalchemy as sa

from shared.errors import StartupError

OLDEST = "0.1"
"""The oldest release that works on a database of this one: the one before, to be changed with each release."""

_release = sa.Table(
    "release",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("oldest", sa.String, nullable=False),
)
_ID = 1


class TooOld(StartupError):
    """The database is of a version that is too new for this one; the message says what to do."""


def own_release() -> str:
    """Of this version, without the number of its patch."""
    found = re.match(r"\d+\.\d+", version("dragoman"))
    assert found is not None
    return found[0]


def is_recorded(connection: sa.Connection) -> bool:
    """Whether the database is of this release or a later one."""
    stored = _load(connection)
    return stored is not None and _order(stored[0]) >= _order(own_release())


def record(connection: sa.Connection) -> None:
    """Writes this release into a database that it has migrated."""
    _release.create(connection, checkfirst=True)
    connection.execute(_release.delete())
    connection.execute(_release.insert().values(id=_ID, version=own_release(), oldest=OLDEST))


def require_supported(service: str, connection: sa.Connection) -> None:
    """Raises TooOld."""
    stored = _load(connection)
    if stored is not None and _order(own_release()) < _order(stored[1]):
        raise TooOld(
            f"the database of {service} is of version {stored[0]}, on which {stored[1]} and later work, and this is "
            f"{own_release()}: install a later version, or restore a backup of this one"
        )


def _load(connection: sa.Connection) -> tuple[str, str] | None:
    """Version and oldest version; None if none was recorded."""
    if not sa.inspect(connection).has_table(_release.name):
        return None
    row = connection.execute(sa.select(_release.c.version, _release.c.oldest)).one_or_none()
    return None if row is None else (row.version, row.oldest)


def _order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
