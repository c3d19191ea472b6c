"""Guests, and which refresh tokens were used. Drops the indexes of accounts without the keys of their usernames: every
account has them."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0017"

_IS_GUEST = sa.text("guest_seen IS NOT NULL")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("guest", sa.String, nullable=False, server_default=""))
    op.add_column("accounts", sa.Column("guest_seen", sa.BigInteger))
    op.create_index("accounts_guests", "accounts", ["guest_seen"], sqlite_where=_IS_GUEST, postgresql_where=_IS_GUEST)
    op.add_column("logins", sa.Column("refresh_used", sa.Boolean, nullable=False, server_default=sa.false()))
    for index in ("accounts_names_unkeyed", "accounts_looks_missing"):
        op.drop_index(index, "accounts")
