"""A second key of usernames, with case folded last. `services.auth.store.usernames` fills it in afterwards."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("username_look", sa.String))
