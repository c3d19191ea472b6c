"""An index of the deleted accounts, with which other services compare their data."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_IS_DELETED = sa.text("uuid IS NULL")


def upgrade() -> None:
    op.create_index("accounts_deleted", "accounts", ["id"], sqlite_where=_IS_DELETED, postgresql_where=_IS_DELETED)


def downgrade() -> None:
    op.drop_index("accounts_deleted", "accounts")
