"""The identity of the installation. The version before ignores it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("agreed", sa.Boolean, nullable=False),
    )
