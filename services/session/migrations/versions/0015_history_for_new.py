"""Groups that decide whether new members see earlier messages."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("chat", sa.Column("history_for_new", sa.Boolean))


def downgrade() -> None:
    op.drop_column("chat", "history_for_new")
