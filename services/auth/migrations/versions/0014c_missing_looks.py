"""An index of the usernames that have no second key yet."""

import sqlalchemy as sa

from shared.migrate import create_index

revision = "0014c"
down_revision = "0014b"
concurrent = True


def upgrade() -> None:
    create_index(
        "accounts_looks_missing", "accounts", ["id"], where=sa.text("(username IS NULL) <> (username_look IS NULL)")
    )
