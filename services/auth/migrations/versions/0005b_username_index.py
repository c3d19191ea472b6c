"""An index of the keys of usernames."""

from alembic import op

from shared.migrate import create_index

revision = "0005b"
down_revision = "0005"
concurrent = True


def upgrade() -> None:
    create_index("accounts_names", "accounts", ["username_key", "username_twin"], unique=True)


def downgrade() -> None:
    op.drop_index("accounts_names", "accounts")
