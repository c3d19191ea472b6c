"""Stores the highest account number that the auth service has assigned, and the identity that its database shares with
the other databases of the installation."""

import sqlalchemy as sa

from services.auth.tables import accounts
from shared.contract.ids import AccountId
from shared.contract.installation import DatabaseState
from shared.identity import read_identity

_SEQUENCE = "pg_get_serial_sequence('accounts', 'id')"
_GIVEN = {
    "sqlite": sa.text("SELECT max(seq) FROM sqlite_sequence WHERE name = 'accounts'"),
    "postgresql": sa.text(f"SELECT pg_sequence_last_value({_SEQUENCE})"),
}
_SKIP = {
    "sqlite": (
        sa.text("DELETE FROM sqlite_sequence WHERE name = 'accounts'"),
        sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('accounts', :number)"),
    ),
    "postgresql": (sa.text(f"SELECT setval({_SEQUENCE}, :number)"),),
}


def database_state(connection: sa.Connection) -> DatabaseState:
    """The state of the database. The database may have the schema of an earlier version."""
    identity = read_identity(connection)
    given = connection.scalar(_GIVEN[connection.dialect.name]) or 0
    used = connection.scalar(sa.select(sa.func.max(accounts.c.id))) or 0
    return DatabaseState(identity.value, identity.agreed, AccountId(max(given, used)))


def skip_accounts(connection: sa.Connection, number: AccountId) -> None:
    """Makes the next account's number higher than `number`. No account may have a higher number than `number`
    already."""
    for statement in _SKIP[connection.dialect.name]:
        connection.execute(statement, {"number": number} if ":number" in statement.text else {})
