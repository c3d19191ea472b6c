"""Blocked accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "block",
        sa.Column("account", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True, autoincrement=False),
        sa.Column("blocked", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("block_blocked", "block", ["blocked"])


def downgrade() -> None:
    op.drop_table("block")
