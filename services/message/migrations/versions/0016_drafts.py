"""Drafts, and chats that their members have marked as unread. Drops a table that was for several databases of messages,
and is empty."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "drafts",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("reply_to", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("cursors", sa.Column("unread_from", sa.BigInteger))
    op.drop_table("placement")
