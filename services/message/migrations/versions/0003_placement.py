"""The partitions that one of several databases serves, and the changes that a move has still to copy."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "placement",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("partitions", sa.Integer, nullable=False),
        sa.Column("id_space", sa.Integer, nullable=False),
        sa.Column("id_spaces", sa.Integer, nullable=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("served", sa.String, nullable=False),
        sa.Column("journaled", sa.String, nullable=False),
        sa.Column("move", sa.String, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("number", _ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("changes")
    op.drop_table("placement")
