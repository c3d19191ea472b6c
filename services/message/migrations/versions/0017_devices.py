"""Devices that get their own missed messages."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("account_id", "name", name="devices_name"),
        sqlite_autoincrement=True,
    )
