"""Accounts and all that belongs to them, as of commit ff153765."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _accounts()
    _revocations()
    _tickets()
    _logins()
    _bots()
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, primary_key=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("trace", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "health",
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("checked", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "trail",
        sa.Column("id", _SERIAL, primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("act", sa.String, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    _indexes("trail", "time", "account")


def _indexes(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])


def _partial_index(name: str, column: str, where: str) -> None:
    op.create_index(name, "accounts", [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", _SERIAL, primary_key=True),
        sa.Column("uuid", sa.String, unique=True),
        sa.Column("email", sa.String),
        sa.Column("email_key", sa.String, unique=True),
        sa.Column("username", sa.String, unique=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("question_id", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.String),
        sa.Column("nickname", sa.String, nullable=False),
        sa.Column("icon_id", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.String, nullable=False),
        sa.Column("vip", sa.BigInteger, nullable=False),
        sa.Column("lobby", sa.Boolean, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("username_key", sa.String),
        sa.Column("username_twin", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("email_verified", sa.Boolean, nullable=False, server_default=sa.false()),
        sqlite_autoincrement=True,
    )
    op.create_index("accounts_names", "accounts", ["username_key", "username_twin"], unique=True)
    _partial_index("accounts_deleted", "id", "uuid IS NULL")
    _partial_index("accounts_names_unkeyed", "id", "(username IS NULL) <> (username_key IS NULL)")
    _partial_index("accounts_names_twins", "username_key", "username_twin <> 0")
    op.create_table(
        "secrets",
        sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scheme", sa.String, primary_key=True),
        sa.Column("verifier", sa.String, nullable=False),
    )


def _revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("sid", sa.String, nullable=False),
        sa.Column("seconds", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_revocations_account_sid", "revocations", ["account", "sid"])
    _indexes("revocations", "seconds")
    state = op.create_table(
        "state",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(state, [{"name": "revocations", "value": 0}, {"name": "maintenance", "value": 0}])


def _tickets() -> None:
    op.create_table(
        "tickets",
        sa.Column("ticket", sa.String, primary_key=True),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("email", sa.String, nullable=False),
        sa.Column("email_key", sa.String, nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("connection", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("mails", sa.Integer, nullable=False),
        sa.Column("wrong", sa.Integer, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
    )
    _indexes("tickets", "account", "email_key", "expires")
    op.create_table(
        "recoveries",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("email_key", sa.String, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    _indexes("recoveries", "account", "expires")


def _logins() -> None:
    op.create_table(
        "logins",
        sa.Column("sid", sa.String, primary_key=True),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("client", sa.String, nullable=False),
        sa.Column("refresh_family", sa.String),
        sa.Column("refresh_part", sa.String),
        sa.Column("refresh_spent", sa.String),
        sa.Column("refresh_salt", sa.String),
        sa.Column("refreshed", sa.BigInteger),
        sa.Column("device", sa.String, nullable=False, server_default=""),
    )
    _indexes("logins", "account", "expires")
    op.create_index("ix_logins_refresh_family", "logins", ["refresh_family"], unique=True)


def _bots() -> None:
    op.create_table(
        "bots",
        sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    _indexes("bots", "owner")
    op.create_table(
        "bot_tokens",
        sa.Column("sid", sa.String, primary_key=True),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scopes", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    _indexes("bot_tokens", "account", "expires")
