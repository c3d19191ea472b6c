"""An index of the refresh tokens of logins."""

from alembic import op

from shared.migrate import create_index

revision = "0008b"
down_revision = "0008"
concurrent = True


def upgrade() -> None:
    create_index("ix_logins_refresh_family", "logins", ["refresh_family"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_logins_refresh_family", "logins")
