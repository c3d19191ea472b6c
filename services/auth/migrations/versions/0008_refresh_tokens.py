"""Refresh tokens of logins. The version before leaves them out; what it ends has none any more."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TEXTS = ("refresh_family", "refresh_part", "refresh_spent", "refresh_salt")


def upgrade() -> None:
    for name in _TEXTS:
        op.add_column("logins", sa.Column(name, sa.String, nullable=True))
    op.add_column("logins", sa.Column("refreshed", sa.BigInteger, nullable=True))


def downgrade() -> None:
    for name in ("refreshed", *_TEXTS):
        op.drop_column("logins", name)
