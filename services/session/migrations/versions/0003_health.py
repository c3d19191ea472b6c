"""A table in which health checks overwrite a row, to prove that transactions are committed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002d"


def upgrade() -> None:
    op.create_table(
        "health",
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("checked", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("health")
