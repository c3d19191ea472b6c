"""Messages, the heads of their chats, read state, changes, the search index, as of commit ff153765."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TERM = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    _messages()
    _changes()
    _search()
    _several_databases()
    op.create_table(
        "health",
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("checked", sa.BigInteger, nullable=False),
    )
    epochs = op.create_table(
        "epochs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.String, nullable=False),
    )
    op.bulk_insert(epochs, [{"id": 1, "value": secrets.token_hex(4)}])


def _key(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _messages() -> None:
    op.create_table(
        "heads",
        sa.Column("chat_id", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("last_index", sa.BigInteger, nullable=False),
        sa.Column("last_time", sa.BigInteger, nullable=False),
        sa.Column("rev", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_table(
        "messages",
        sa.Column("id", _ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("sender", sa.BigInteger, nullable=False),
        sa.Column("nonce", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("chat_id", "index", name="messages_order"),
        sa.UniqueConstraint("nonce", "sender", "chat_id", name="messages_nonce"),
    )
    op.create_table(
        "cursors",
        _key("account_id"),
        _key("chat_id"),
        sa.Column("read_index", sa.BigInteger, nullable=False),
        sa.Column("above", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )


def _changes() -> None:
    """Edits, recalls, reactions, pins."""
    op.create_table(
        "revisions",
        _key("chat_id"),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        _key("index"),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("actor", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("chat_id", "rev", name="revisions_order"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "edits",
        _key("chat_id"),
        _key("index"),
        _key("nonce"),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reactions",
        _key("chat_id"),
        _key("index"),
        sa.Column("emoji", sa.String, primary_key=True),
        _key("account_id"),
        sqlite_with_rowid=False,
    )


def _search() -> None:
    op.create_table(
        "search_heads",
        _key("chat_id"),
        sa.Column("last_index", sa.BigInteger, nullable=False),
        sa.Column("rev", sa.BigInteger, nullable=False),
        sa.Column("signed", sa.BigInteger, nullable=False, server_default="0"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_documents",
        _key("chat_id"),
        _key("index"),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("terms", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_entries",
        _key("chat_id"),
        sa.Column("term", _TERM, primary_key=True),
        _key("time"),
        sa.Column("index", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_signatures",
        sa.Column("chat_id", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )


def _several_databases() -> None:
    """Databases that were made before have these tables, which later revisions drop."""
    op.create_table(
        "placement",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("partitions", sa.Integer, nullable=False),
        sa.Column("id_space", sa.Integer, nullable=False),
        sa.Column("id_spaces", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("served", sa.String, nullable=False),
    )
    op.create_table(
        "moves",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("moved", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("id", _ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
