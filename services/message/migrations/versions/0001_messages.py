"""Messages, the heads of their chats, read state."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "heads",
        sa.Column("chat_id", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("last_index", sa.BigInteger, nullable=False),
        sa.Column("last_time", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "messages",
        sa.Column("id", _ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("sender", sa.BigInteger, nullable=False),
        sa.Column("nonce", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("chat_id", "index", name="messages_order"),
        sa.UniqueConstraint("nonce", "sender", "chat_id", name="messages_nonce"),
    )
    op.create_table(
        "cursors",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("read_index", sa.BigInteger, nullable=False),
        sa.Column("above", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
