"""What is read, apart from what is delivered. NULL: it is what is delivered, as in the version before."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("cursors", sa.Column("read_upto", sa.BigInteger))
