"""Drops the tables of moves between several databases. One of several is rejected as it is.

The previous version reads `placement` at its start: the next version drops it.
"""

import sqlalchemy as sa
from alembic import op

from shared.errors import StartupError

revision = "0009"
down_revision = "0008"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT name FROM placement")).first() is not None:
        raise StartupError(
            "this database is one of several of message, which this version does not serve: go on with the version "
            "before, or copy all messages into one database without rows in its table placement"
        )
    op.drop_table("changes")
    op.drop_table("moves")
