"""Profiles, chats, members, friendships."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LIVE = sa.text("role > 0")


def upgrade() -> None:
    op.create_table(
        "profile",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("uuid", sa.String, nullable=False),
        sa.Column("nickname", sa.String, nullable=False),
        sa.Column("avatar", sa.String, nullable=False),
        sa.Column("avatar_hash", sa.String, nullable=False),
        sa.Column("icon_id", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.String, nullable=False),
        sa.Column("vip", sa.BigInteger, nullable=False),
        sa.Column("status", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("public_updated", sa.BigInteger, nullable=False),
        sa.Column("private_updated", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
    )
    op.create_table(
        "chat",
        sa.Column("id", _ROW_ID, sa.Identity(start=2), primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("owner", sa.BigInteger, nullable=False),
        sa.Column("join_policy", sa.String, nullable=False),
        sa.Column("avatar", sa.String, nullable=False),
        sa.Column("avatar_hash", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("seats", sa.BigInteger, nullable=False),
        sa.Column("pair", sa.String, unique=True),
    )
    op.create_table(
        "member",
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True),
        sa.Column("role", sa.SmallInteger, nullable=False),
        sa.Column("seat", sa.BigInteger, nullable=False),
        sa.Column("first_index", sa.BigInteger, nullable=False),
        sa.Column("unread_from", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("member_account", "member", ["account", "chat"])
    op.create_index("member_change", "member", ["chat", "version", "account"])
    op.create_index("member_seat", "member", ["chat", "seat"], sqlite_where=_LIVE, postgresql_where=_LIVE)
    op.create_table(
        "friendship",
        sa.Column("account", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True, autoincrement=False),
        sa.Column("friend", sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("friendship", "member", "chat", "profile"):
        op.drop_table(table)
