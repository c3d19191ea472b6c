"""An index of the deleted accounts, with which other services compare their data."""

import sqlalchemy as sa
from alembic import op

from shared.migrate import create_index

revision = "0003"
down_revision = "0002"
concurrent = True


def upgrade() -> None:
    create_index("accounts_deleted", "accounts", ["id"], where=sa.text("uuid IS NULL"))


def downgrade() -> None:
    op.drop_index("accounts_deleted", "accounts")
