"""The partitions that one of several databases serves."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "placement",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("partitions", sa.Integer, nullable=False),
        sa.Column("id_space", sa.Integer, nullable=False),
        sa.Column("id_spaces", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("served", sa.String, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("placement")
