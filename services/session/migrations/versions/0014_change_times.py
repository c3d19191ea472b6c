"""Groups with times of their own for edits and recalls."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_COLUMNS = "edit_seconds", "recall_seconds"


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column("chat", sa.Column(column, sa.BigInteger))


def downgrade() -> None:
    for column in _COLUMNS:
        op.drop_column("chat", column)
