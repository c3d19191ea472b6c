"""Channels that IRC clients have left while the membership goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.add_column("member", sa.Column("hidden", sa.BigInteger, nullable=False, server_default="0"))
