"""An index of profiles by their uuid."""

from alembic import op

from shared.migrate import create_index

revision = "0002b"
down_revision = "0002"
concurrent = True


def upgrade() -> None:
    create_index("ix_profile_uuid", "profile", ["uuid"])


def downgrade() -> None:
    op.drop_index("ix_profile_uuid", "profile")
