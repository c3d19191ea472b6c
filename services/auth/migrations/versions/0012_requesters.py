"""Who has requested a verification. The version before leaves it out."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_TEXTS = ("secret", "address", "client")


def upgrade() -> None:
    for name in _TEXTS:
        op.add_column("tickets", sa.Column(name, sa.String, nullable=False, server_default=""))
    op.add_column("tickets", sa.Column("requested", sa.BigInteger, nullable=False, server_default="0"))
