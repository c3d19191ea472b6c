"""Indexes of the keys of usernames."""

import sqlalchemy as sa
from alembic import op

from shared.migrate import create_index

revision = "0005b"
down_revision = "0005"
concurrent = True

_LACKS_KEY = sa.text("(username IS NULL) <> (username_key IS NULL)")
_IS_TWIN = sa.text("username_twin <> 0")


def upgrade() -> None:
    create_index("accounts_names", "accounts", ["username_key", "username_twin"], unique=True)
    create_index("accounts_names_unkeyed", "accounts", ["id"], where=_LACKS_KEY)
    create_index("accounts_names_twins", "accounts", ["username_key"], where=_IS_TWIN)


def downgrade() -> None:
    for name in ("accounts_names_twins", "accounts_names_unkeyed", "accounts_names"):
        op.drop_index(name, "accounts")
