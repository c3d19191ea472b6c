"""Accounts of incoming webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("hook", sa.Column("account", sa.BigInteger))
