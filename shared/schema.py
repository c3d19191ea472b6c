"""The revision of a database's schema and the release that made it, read without Alembic, which takes memory.

A version works on a database of the next version, and of no later one: a later one may lack data that this version
reads. An unknown revision tells nothing about that, so each database states the release, in a table beside Alembic's.
"""

import re
from pathlib import Path

import sqlalchemy as sa

from shared.errors import StartupError
from shared.version import VERSION

SERVICES = Path(__file__).parents[1] / "services"
OLDEST = "0.1"
"""The oldest release that works on a database of this release: the previous one, to be changed with each release."""

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
    """The database's version is too new for this version."""


def known_revisions(service: str) -> list[str]:
    """The revisions of this version, in order. A revision's file has its name."""
    return sorted(file.name.partition("_")[0] for file in (SERVICES / service / "migrations/versions").glob("*_*.py"))


def current_revisions(connection: sa.Connection) -> set[str]:
    """The current revision of a database; none for an empty database."""
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
    """Raises TooOld; NotMigrated for a revision before the first one, and for a revision that no version of this
    service has made."""
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
    """Whether the database is of this release or a later one."""
    stored = _load(connection)
    return stored is not None and _order(stored[0]) >= _order(own_release())


def record(connection: sa.Connection) -> None:
    """Enter this release into a database that this release has migrated."""
    _release.create(connection, checkfirst=True)
    connection.execute(_release.delete())
    connection.execute(_release.insert().values(id=_ID, version=own_release(), oldest=OLDEST))


def _require_supported(service: str, connection: sa.Connection) -> None:
    """Raises TooOld."""
    stored = _load(connection)
    if stored is not None and _order(own_release()) < _order(stored[1]):
        raise TooOld(
            f"the database of {service} is of version {stored[0]}, on which {stored[1]} and later work, and this is "
            f"{own_release()}",
            "Install a later version, or restore a backup of this one",
        )


def _load(connection: sa.Connection) -> tuple[str, str] | None:
    """Version and oldest version; None if none was recorded."""
    if not sa.inspect(connection).has_table(_release.name):
        return None
    row = connection.execute(sa.select(_release.c.version, _release.c.oldest)).one_or_none()
    return None if row is None else (row.version, row.oldest)


def _order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
