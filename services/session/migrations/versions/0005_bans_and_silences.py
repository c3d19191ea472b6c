"""Bans and silences of groups."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "ban",
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("by", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ban_account", "ban", ["account"])
    op.create_table(
        "silence",
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("silence_account", "silence", ["account"])


def downgrade() -> None:
    op.drop_table("silence")
    op.drop_table("ban")
