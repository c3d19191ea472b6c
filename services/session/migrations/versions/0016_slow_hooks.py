"""Outgoing webhooks whose receivers are slow."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("outgoing_hook", sa.Column("slow", sa.Boolean, nullable=False, server_default=sa.false()))
