"""An index of the usernames that have no key yet."""

import sqlalchemy as sa
from alembic import op

from shared.migrate import create_index

revision = "0005c"
down_revision = "0005b"
concurrent = True


def upgrade() -> None:
    create_index(
        "accounts_names_unkeyed", "accounts", ["id"], where=sa.text("(username IS NULL) <> (username_key IS NULL)")
    )


def downgrade() -> None:
    op.drop_index("accounts_names_unkeyed", "accounts")
