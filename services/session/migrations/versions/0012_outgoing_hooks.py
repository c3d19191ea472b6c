"""Outgoing hooks, which post the messages of a group to an address outside."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "outgoing_hook",
        sa.Column("hook", sa.String, primary_key=True),
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), nullable=False),
        sa.Column("by", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("next", sa.BigInteger, nullable=False),
        sa.Column("known", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failing_since", sa.BigInteger, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
        sa.Column("lease", sa.String, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
    )
    op.create_index("outgoing_hook_chat", "outgoing_hook", ["chat", "created"])
    op.create_index("outgoing_hook_by", "outgoing_hook", ["by"])


def downgrade() -> None:
    op.drop_table("outgoing_hook")
