"""Signatures of the terms of chats. The version before leaves them as they are; `signed` shows which are stale."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "search_signatures",
        sa.Column("chat_id", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    op.add_column("search_heads", sa.Column("signed", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("search_heads", "signed")
    op.drop_table("search_signatures")
