"""The logins of an account, which its user can list and end."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005d"


def upgrade() -> None:
    op.create_table(
        "logins",
        sa.Column("sid", sa.String, primary_key=True),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("client", sa.String, nullable=False),
    )
    op.create_index("ix_logins_account", "logins", ["account"])
    op.create_index("ix_logins_expires", "logins", ["expires"])


def downgrade() -> None:
    op.drop_table("logins")
