"""Logins know the last revocation before them. The version before leaves it out. Logins that a deletion has left behind
are removed."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("DELETE FROM logins WHERE account IN (SELECT id FROM accounts WHERE uuid IS NULL)")
    op.add_column("logins", sa.Column("revision", sa.BigInteger, nullable=True))
