"""Hooks, by which programs post to a group."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "hook",
        sa.Column("hook", sa.String, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), nullable=False),
        sa.Column("by", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_index("hook_digest", "hook", ["digest"], unique=True)
    op.create_index("hook_chat", "hook", ["chat", "created"])
    op.create_index("hook_by", "hook", ["by"])


def downgrade() -> None:
    op.drop_table("hook")
