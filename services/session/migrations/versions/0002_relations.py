"""Friend requests, membership requests, pending notifications."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "friend_request",
        sa.Column("applicant", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("friend_request_account", "friend_request", ["account", "created", "applicant"])
    op.create_table(
        "application",
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), primary_key=True, autoincrement=False),
        sa.Column("applicant", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("application_applicant", "application", ["applicant"])
    op.create_table(
        "kept",
        sa.Column("number", _ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("account", sa.BigInteger, sa.ForeignKey("profile.id"), nullable=False),
        sa.Column("notice", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("kept_account", "kept", ["account", "number"])


def downgrade() -> None:
    for table in ("kept", "application", "friend_request"):
        op.drop_table(table)
