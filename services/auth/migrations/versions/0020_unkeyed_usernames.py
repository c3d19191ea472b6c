"""Drops the indexes of accounts without the keys of their usernames. Every account has them."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    for index in ("accounts_names_unkeyed", "accounts_looks_missing"):
        op.drop_index(index, "accounts")
