"""Which accounts have been mailed a link that verifies their address, after a login. The version before mails none."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("verification_offered", sa.Boolean, nullable=False, server_default=sa.false()))
