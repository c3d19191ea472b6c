"""Messages that users have reported to the operator."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "report",
        sa.Column("number", number, sa.Identity(), primary_key=True),
        sa.Column("chat", sa.BigInteger, nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("sender", sa.BigInteger, nullable=False),
        sa.Column("sent", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("reporter", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("reported", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("report_reporter", "report", ["reporter", "chat", "index"], unique=True)


def downgrade() -> None:
    op.drop_table("report")
