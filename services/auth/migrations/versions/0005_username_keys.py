"""A key that usernames which look alike have in common. The keys of existing accounts are filled in afterwards
(`services.auth.store.usernames`)."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("username_key", sa.String))
    op.add_column("accounts", sa.Column("username_twin", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("accounts", "username_twin")
    op.drop_column("accounts", "username_key")
