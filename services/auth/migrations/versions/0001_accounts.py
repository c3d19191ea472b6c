"""Accounts, secrets, revocations, verifications, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _accounts()
    _revocations()
    _tickets()
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, primary_key=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("trace", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for table in ("outbox", "tickets", "state", "revocations", "secrets", "accounts"):
        op.drop_table(table)


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
        sqlite_autoincrement=True,
    )
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
    op.create_index("ix_revocations_seconds", "revocations", ["seconds"])
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
    for column in ("account", "email_key", "expires"):
        op.create_index(f"ix_tickets_{column}", "tickets", [column])
