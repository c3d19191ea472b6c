"""Bots and their tokens. The version before leaves them out; housekeeping ends what it has left behind."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008b"


def upgrade() -> None:
    op.create_table(
        "bots",
        sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_bots_owner", "bots", ["owner"])
    op.create_table(
        "bot_tokens",
        sa.Column("sid", sa.String, primary_key=True),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scopes", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_bot_tokens_account", "bot_tokens", ["account"])
    op.create_index("ix_bot_tokens_expires", "bot_tokens", ["expires"])


def downgrade() -> None:
    op.drop_table("bot_tokens")
    op.drop_table("bots")
