"""An index of the second keys of usernames."""

from shared.migrate import create_index

revision = "0014b"
down_revision = "0014"
concurrent = True


def upgrade() -> None:
    create_index("accounts_looks", "accounts", ["username_look", "username_twin"], unique=True)
