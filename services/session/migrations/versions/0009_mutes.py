"""Chats that a member has muted."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("member", sa.Column("muted_until", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("member", sa.Column("mentions_only", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("member", "mentions_only")
    op.drop_column("member", "muted_until")
