"""Drops a table that was for several databases of messages, and is empty."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.drop_table("placement")
