"""Profiles, chats and all that belongs to them, as of commit ff153765."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _profiles()
    _chats()
    _members()
    _relations()
    _requests()
    _moderation()
    _hooks()
    op.create_table(
        "health",
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("checked", sa.BigInteger, nullable=False),
    )


def _profile(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, sa.ForeignKey("profile.id"), primary_key=True, autoincrement=False)


def _chat() -> "sa.Column[int]":
    return sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), primary_key=True, autoincrement=False)


def _profiles() -> None:
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
        sa.Column("bot", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_profile_uuid", "profile", ["uuid"])


def _chats() -> None:
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
        sa.Column("receipts", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("topic", sa.String, nullable=False, server_default=""),
        sa.Column("edit_seconds", sa.BigInteger),
        sa.Column("recall_seconds", sa.BigInteger),
        sa.Column("history_for_new", sa.Boolean),
    )
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


def _members() -> None:
    op.create_table(
        "member",
        _chat(),
        _profile("account"),
        sa.Column("role", sa.SmallInteger, nullable=False),
        sa.Column("seat", sa.BigInteger, nullable=False),
        sa.Column("first_index", sa.BigInteger, nullable=False),
        sa.Column("unread_from", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("muted_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("mentions_only", sa.Boolean, nullable=False, server_default=sa.false()),
        sqlite_with_rowid=False,
    )
    op.create_index("member_account", "member", ["account", "chat"])
    op.create_index("member_change", "member", ["chat", "version", "account"])
    for name, columns, where in (
        ("member_seat", ["chat", "seat"], "role > 0"),
        ("member_host", ["chat", "seat"], "role > 1"),
        ("member_joining", ["account"], "role > 0 AND unread_from IS NULL"),
    ):
        op.create_index(name, "member", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _relations() -> None:
    op.create_table(
        "friendship",
        _profile("account"),
        _profile("friend"),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "block",
        _profile("account"),
        _profile("blocked"),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("block_blocked", "block", ["blocked"])


def _requests() -> None:
    """Of friends and of members, and events that an account has not received yet."""
    op.create_table(
        "friend_request",
        _profile("applicant"),
        _profile("account"),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("friend_request_account", "friend_request", ["account", "created", "applicant"])
    op.create_table(
        "application",
        _chat(),
        _profile("applicant"),
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


def _moderation() -> None:
    op.create_table(
        "ban",
        _chat(),
        _profile("account"),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("by", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ban_account", "ban", ["account"])
    op.create_table(
        "silence",
        _chat(),
        sa.Column("account", sa.BigInteger, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("silence_account", "silence", ["account"])
    op.create_table(
        "report",
        sa.Column("number", _ROW_ID, sa.Identity(), primary_key=True),
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


def _hooks() -> None:
    op.create_table(
        "hook",
        sa.Column("hook", sa.String, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), nullable=False),
        sa.Column("by", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_index("hook_digest", "hook", ["digest"], unique=True)
    op.create_table(
        "outgoing_hook",
        sa.Column("hook", sa.String, primary_key=True),
        sa.Column("chat", sa.BigInteger, sa.ForeignKey("chat.id"), nullable=False),
        sa.Column("by", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("next", sa.BigInteger, nullable=False),
        sa.Column("known", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failing_since", sa.BigInteger, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
        sa.Column("lease", sa.String, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
    )
    for table in ("hook", "outgoing_hook"):
        op.create_index(f"{table}_chat", table, ["chat", "created"])
        op.create_index(f"{table}_by", table, ["by"])
