"""Reads the revision of a database's schema, and the release that has made it. Alembic is not used for this, because it
takes memory.

A version works on a database of the next version, but not of a later version, which may lack data that this version
reads. The revision does not show to which version it belongs if this version does not know it. So each database also
stores the release, in a table of its own.
"""

import re
from pathlib import Path

import sqlalchemy as sa

from shared.errors import StartupError
from shared.version import VERSION

SERVICES = Path(__file__).parents[1] / "services"
OLDEST = "0.1"
"""The oldest release that works on a database of this version."""
_LAST_WITH_ALL = "9456d506"
"""The commit whose migrations end where the first revisions begin. The names of revisions are in the order of the
revisions."""
_REVISIONS = "alembic_version"
_release = sa.Table(
    "release",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("oldest", sa.String, nullable=False),
)
_ID = 1


class NotMigrated(StartupError):
    """The database lacks tables of this version."""


class TooOld(StartupError):
    """The database is of a later version than this version can use."""


def known_revisions(service: str) -> list[str]:
    """The revisions of this version, in order. The name of a revision's file begins with the revision."""
    return sorted(file.name.partition("_")[0] for file in (SERVICES / service / "migrations/versions").glob("*_*.py"))


def current_revisions(connection: sa.Connection) -> set[str]:
    """The current revision of a database; an empty set for an empty database."""
    if not sa.inspect(connection).has_table(_REVISIONS):
        return set()
    return set(connection.scalars(sa.text(f"SELECT version_num FROM {_REVISIONS}")))  # noqa: S608


def is_behind(known: list[str], current: set[str]) -> bool:
    return known[-1] not in current and current.issubset(known)


def require_current(service: str, connection: sa.Connection) -> None:
    """Checks the schema before a service serves: `await database.read(partial(require_current, "auth"))`.
    Raises NotMigrated, TooOld."""
    require_known(service, connection)
    known, current = known_revisions(service), current_revisions(connection)
    if is_behind(known, current):
        raise NotMigrated(
            f"the database of {service} is at revision {', '.join(sorted(current)) or 'none'}, this version needs "
            f"{known[-1]}",
            "Run `dragoman migrate`",
        )


def require_known(service: str, connection: sa.Connection) -> None:
    """Checks that this version knows the database's revision. Raises TooOld. Raises NotMigrated for a revision before
    the first one, and for a revision that no version of this service has made."""
    _require_supported(service, connection)
    known, current = known_revisions(service), current_revisions(connection)
    if older := sorted(revision for revision in current if revision < known[0]):
        raise NotMigrated(
            f"the database of {service} is at revision {', '.join(older)}, and this version upgrades from {known[0]} "
            "on",
            f"Run `dragoman migrate` of commit {_LAST_WITH_ALL} first",
        )
    if not current.issubset(known) and not is_recorded(connection):
        raise NotMigrated(
            f"the database of {service} is at revision {', '.join(sorted(current))}, which this version does not know: "
            "it is another service's, or of a later version",
            "Correct database.url",
        )


def own_release() -> str:
    """The present version without the patch number."""
    found = re.match(r"\d+\.\d+", VERSION)
    assert found is not None
    return found[0]


def is_recorded(connection: sa.Connection) -> bool:
    """Whether the database has recorded this release or a later one."""
    stored = _load(connection)
    return stored is not None and _order(stored[0]) >= _order(own_release())


def record(connection: sa.Connection) -> None:
    """Record this release in a database that it has migrated."""
    _release.create(connection, checkfirst=True)
    connection.execute(_release.delete())
    connection.execute(_release.insert().values(id=_ID, version=own_release(), oldest=OLDEST))


def _require_supported(service: str, connection: sa.Connection) -> None:
    """Raises TooOld if the database's release does not support this release."""
    stored = _load(connection)
    if stored is not None and _order(own_release()) < _order(stored[1]):
        raise TooOld(
            f"the database of {service} is of version {stored[0]}, on which {stored[1]} and later work, and this is "
            f"{own_release()}",
            "Install a later version, or restore a backup of this one",
        )


def _load(connection: sa.Connection) -> tuple[str, str] | None:
    """The recorded release, and the oldest release that works on the database; None if none was recorded."""
    if not sa.inspect(connection).has_table(_release.name):
        return None
    row = connection.execute(sa.select(_release.c.version, _release.c.oldest)).one_or_none()
    return None if row is None else (row.version, row.oldest)


def _order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
