"""The logins of devices that their users have removed."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.add_column("push_removed", sa.Column("sid", sa.String, nullable=False, server_default=""))
