"""Links by which accounts join a group."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "link",
        sa.Column("link", sa.String, primary_key=True),
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), nullable=False),
        sa.Column("by", sa.BigInteger, nullable=False),
        sa.Column("uses", sa.BigInteger),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_index("link_chat", "link", ["chat", "created"])


def downgrade() -> None:
    op.drop_table("link")
