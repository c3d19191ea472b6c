"""Groups and profiles as on IRC, the settings of accounts, and devices that are notified."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0020"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = {"profile": {"nick": "", "guest": ""}, "chat": {"handle": "", "modes": "nt", "join_key": ""}}
_NUMBERS = {"chat": ("topic_by", "topic_time", "most_members"), "member": ("read_time",)}
_FLAGS = {"chat": ("ownerless",), "member": ("pinned", "archived", "speaker")}


def upgrade() -> None:
    _add_columns()
    _create_group_tables()
    _create_account_tables()
    _create_push_tables()


def _key(name: str, *references: sa.ForeignKey) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, *references, primary_key=True, autoincrement=False)


def _numbers(*names: str) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _texts(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.String, nullable=False) for name in names]


def _partial_index(name: str, table: str, column: str | sa.TextClause, where: str, *, unique: bool = False) -> None:
    rows = sa.text(where)
    op.create_index(name, table, [column], unique=unique, sqlite_where=rows, postgresql_where=rows)


def _add_columns() -> None:
    for table, texts in _TEXTS.items():
        for name, default in texts.items():
            op.add_column(table, sa.Column(name, sa.String, nullable=False, server_default=default))
    for table, names in _NUMBERS.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    for table, names in _FLAGS.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
    letters = ' COLLATE "C"' if op.get_bind().dialect.name == "postgresql" else ""
    for table, name in (("profile", "nick"), ("chat", "handle")):
        _partial_index(f"{table}_{name}", table, sa.text(f"lower({name}{letters})"), f"{name} <> ''", unique=True)
    _partial_index("member_speaker", "member", "chat", "speaker")


def _create_group_tables() -> None:
    op.create_table(
        "mask",
        _key("chat", sa.ForeignKey("chat.id")),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("mask", sa.String, primary_key=True),
        *_texts("by"),
        *_numbers("created"),
    )
    op.create_table("invitation", _key("chat", sa.ForeignKey("chat.id")), _key("account"), *_numbers("until"))
    op.create_index("invitation_account", "invitation", ["account"])
    op.create_table(
        "happening", *(_key("chat"), _key("time")), *_texts("kind"), *_numbers("by", "account"), *_texts("text")
    )
    op.create_index("happening_time", "happening", ["time"])


def _create_account_tables() -> None:
    op.create_table(
        "own_settings",
        _key("account", sa.ForeignKey("profile.id")),
        *_numbers("rev"),
        *_texts("language", "quiet_zone", "quiet_from", "quiet_to"),
        *_numbers("until"),
        *_texts("level"),
    )
    op.create_table(
        "metadata_value",
        *(_key("account"), _key("chat")),
        sa.Column("key", sa.String, primary_key=True),
        *_texts("value"),
    )


def _create_push_tables() -> None:
    op.create_table(
        "push_subscription",
        sa.Column("id", _ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("account", sa.BigInteger, sa.ForeignKey("profile.id"), nullable=False),
        *_texts("sid"),
        sa.Column("digest", sa.String, nullable=False, unique=True),
        *_texts("endpoint", "origin", "p256dh", "auth", "vapid_key", "kind", "language"),
        *_numbers("created", "last_ok"),
        *_texts("last_error"),
        sa.Column("attempts", sa.Integer, nullable=False),
        *_numbers("failing_since", "due"),
        *_texts("lease"),
        *_numbers("leased_until"),
        sqlite_autoincrement=True,
    )
    op.create_index("push_subscription_account", "push_subscription", ["account"])
    op.create_table(
        "push_removed",
        _key("account"),
        sa.Column("digest", sa.String, primary_key=True),
        *_numbers("time"),
        sa.Column("sid", sa.String, nullable=False, server_default=""),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "push_chat",
        _key("chat"),
        *_numbers("done", "moves", "moved"),
        sa.Column("due", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    _partial_index("push_chat_due", "push_chat", "due", "due IS NOT NULL")
    op.create_table(
        "push_notification",
        _key("subscription", sa.ForeignKey("push_subscription.id", ondelete="CASCADE")),
        _key("chat"),
        *_numbers("shown", "waiting"),
        sa.Column("urgent", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    _partial_index("push_notification_waiting", "push_notification", "subscription", "waiting > 0")
