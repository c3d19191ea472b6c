"""Tickets for a new password, and which e-mail addresses are verified. The version before verifies none."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("email_verified", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "recoveries",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("email_key", sa.String, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_recoveries_account", "recoveries", ["account"])
    op.create_index("ix_recoveries_expires", "recoveries", ["expires"])


def downgrade() -> None:
    op.drop_table("recoveries")
    op.drop_column("accounts", "email_verified")
