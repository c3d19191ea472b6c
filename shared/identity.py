"""Stores the identity of an installation in each of its databases; see shared.installation."""

from typing import NamedTuple

import sqlalchemy as sa

_READ = sa.text("SELECT value, agreed FROM installation WHERE id = 1")
_PROPOSE = sa.text("INSERT INTO installation (id, value, agreed) VALUES (1, :value, false) ON CONFLICT (id) DO NOTHING")
_ADOPT = sa.text(
    "INSERT INTO installation (id, value, agreed) VALUES (1, :value, :agreed) "
    "ON CONFLICT (id) DO UPDATE SET value = :value, agreed = :agreed"
)


def installation_table(metadata: sa.MetaData) -> sa.Table:
    """The table with the identity of the installation, in its only row (`id` 1)."""
    key = sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
    value, agreed = sa.Column("value", sa.String, nullable=False), sa.Column("agreed", sa.Boolean, nullable=False)
    return sa.Table("installation", metadata, key, value, agreed)


class Identity(NamedTuple):
    """`agreed`: all databases of the installation have the `value`."""

    value: str = ""
    agreed: bool = False


def read_identity(connection: sa.Connection) -> Identity:
    """The identity in a database. It is empty if the database is from a version without identities."""
    if not sa.inspect(connection).has_table("installation"):
        return Identity()
    row = connection.execute(_READ).one_or_none()
    return Identity() if row is None else Identity(row.value, bool(row.agreed))


def propose_identity(connection: sa.Connection, value: str) -> None:
    """Gives a database an identity, unless the database has one."""
    connection.execute(_PROPOSE, {"value": value})


def adopt_identity(connection: sa.Connection, identity: Identity) -> None:
    connection.execute(_ADOPT, identity._asdict())
