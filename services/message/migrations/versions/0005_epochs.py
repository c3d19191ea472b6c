"""The epoch of the database, by which clients notice that it was restored from a backup."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    epochs = op.create_table(
        "epochs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.String, nullable=False),
    )
    op.bulk_insert(epochs, [{"id": 1, "value": secrets.token_hex(4)}])


def downgrade() -> None:
    op.drop_table("epochs")
