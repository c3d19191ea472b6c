"""Drops the tables of moves between several databases. One of several is rejected as it is.

The version before reads `placement` at its start: the next version drops it.
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


def downgrade() -> None:
    op.create_table(
        "moves",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("moved", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("id", _ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
