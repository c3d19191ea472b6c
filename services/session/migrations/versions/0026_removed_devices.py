"""Creates the table of devices that their users have removed."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.create_table(
        "push_removed",
        sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
