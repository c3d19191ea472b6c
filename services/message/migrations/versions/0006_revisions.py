"""The changes of messages: edits, recalls, reactions, pins.

The column of `heads` is added without a rewrite of the table. On PostgreSQL that waits for a moment without readers, in
short attempts, because posts would wait behind a longer one.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_ATTEMPTS = 120
_PAUSE_SECONDS = 0.5


def upgrade() -> None:
    op.create_table(
        "revisions",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("actor", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("chat_id", "rev", name="revisions_order"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "edits",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("nonce", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reactions",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("emoji", sa.String, primary_key=True),
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    _add_rev()


def _add_rev() -> None:
    connection = op.get_bind()
    column = sa.Column("rev", sa.BigInteger, nullable=False, server_default="0")
    if connection.dialect.name != "postgresql":
        op.add_column("heads", column)
        return
    connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")
    for attempt in range(_ATTEMPTS):
        try:
            with connection.begin_nested():
                op.add_column("heads", column)
            return
        except sa.exc.OperationalError:
            if attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_SECONDS)


def downgrade() -> None:
    op.drop_column("heads", "rev")
    op.drop_table("reactions")
    op.drop_table("edits")
    op.drop_table("revisions")
