"""Creates the tables of message, and its first epoch."""

import secrets

from alembic import op

from services.message.tables import metadata

revision = "0013"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    op.bulk_insert(metadata.tables["epochs"], [{"id": 1, "value": secrets.token_hex(4)}])
