"""Names of devices in the list of logins. The version before leaves them out."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("logins", sa.Column("device", sa.String, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("logins", "device")
