"""A key that usernames which look alike have in common. The keys of existing accounts are filled in afterwards
(`services.auth.store.usernames`)."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_LACKS_KEY = sa.text("(username IS NULL) <> (username_key IS NULL)")
_IS_TWIN = sa.text("username_twin <> 0")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("username_key", sa.String))
    op.add_column("accounts", sa.Column("username_twin", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("accounts_names", "accounts", ["username_key", "username_twin"], unique=True)
    op.create_index("accounts_names_unkeyed", "accounts", ["id"], sqlite_where=_LACKS_KEY, postgresql_where=_LACKS_KEY)
    op.create_index(
        "accounts_names_twins", "accounts", ["username_key"], sqlite_where=_IS_TWIN, postgresql_where=_IS_TWIN
    )


def downgrade() -> None:
    op.drop_index("accounts_names_twins", "accounts")
    op.drop_index("accounts_names_unkeyed", "accounts")
    op.drop_index("accounts_names", "accounts")
    op.drop_column("accounts", "username_twin")
    op.drop_column("accounts", "username_key")
