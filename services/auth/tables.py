"""Auth's tables. Times are Unix milliseconds unless their name says otherwise."""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.database_proof import health_table
from shared.identity import installation_table
from shared.run_once import request_table

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite numbers only an INTEGER PRIMARY KEY, which has 64 bits there."""


_IS_DELETED = sa.text("uuid IS NULL")
LACKS_KEY = sa.text("(username IS NULL) <> (username_key IS NULL)")
LACKS_LOOK = sa.text("(username IS NULL) <> (username_look IS NULL)")
IS_TWIN = sa.text("username_twin <> 0")
"""As conditions, these use their indexes."""


class AuthBase(SQLModel, registry=registry()):
    """Auth's own metadata, separate from other services'."""


class AccountRow(AuthBase, table=True):
    """A deleted account keeps its row with nothing but the id, so that the id is never reused."""

    __tablename__ = "accounts"
    __table_args__ = (
        sa.Index("accounts_deleted", "id", sqlite_where=_IS_DELETED, postgresql_where=_IS_DELETED),
        sa.Index("accounts_names", "username_key", "username_twin", unique=True),
        sa.Index("accounts_names_unkeyed", "id", sqlite_where=LACKS_KEY, postgresql_where=LACKS_KEY),
        sa.Index("accounts_looks", "username_look", "username_twin", unique=True),
        sa.Index("accounts_looks_missing", "id", sqlite_where=LACKS_LOOK, postgresql_where=LACKS_LOOK),
        sa.Index("accounts_names_twins", "username_key", sqlite_where=IS_TWIN, postgresql_where=IS_TWIN),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(sa_type=_SERIAL, primary_key=True)
    uuid: str | None = Field(unique=True)
    """None: deleted."""
    email: str | None
    email_key: str | None = Field(unique=True)
    email_verified: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    """A mailed link or ticket has reached the user."""
    verification_offered: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    """A login has mailed a link that verifies the address."""
    username: str | None = Field(unique=True)
    username_key: str | None
    """See shared.names.name_key. None, beside a username: a replica of version 0.1 or older has registered it."""
    username_look: str | None
    """See shared.names.name_look. None, beside a username: a replica of the version before has registered it."""
    username_twin: int = Field(sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    """0, or the account's id if another account had a name with this key or look before."""
    created: int = Field(sa_type=sa.BigInteger)
    question_id: int = Field(sa_type=sa.BigInteger)
    answer: str | None
    """The argon2id hash of the answer."""
    nickname: str
    icon_id: int = Field(sa_type=sa.BigInteger)
    signature: str
    vip: int = Field(sa_type=sa.BigInteger)
    lobby: bool
    disabled: bool = Field(sa_column_kwargs={"server_default": sa.false()})


class SecretRow(AuthBase, table=True):
    """`verifier`: the argon2id hash of what a client of that scheme sends."""

    __tablename__ = "secrets"

    account: int = Field(sa_type=sa.BigInteger, primary_key=True)
    scheme: str = Field(primary_key=True)
    verifier: str


class RevocationRow(AuthBase, table=True):
    """Numbers grow in the order of commits: writing one locks the counter's row."""

    __tablename__ = "revocations"
    __table_args__ = (sa.Index("ix_revocations_account_sid", "account", "sid"),)

    number: int = Field(sa_type=sa.BigInteger, primary_key=True)
    account: int = Field(sa_type=sa.BigInteger)
    sid: str
    seconds: int = Field(sa_type=sa.BigInteger, index=True)


class LoginRow(AuthBase, table=True):
    """A login whose token may be valid. `client`: the dialect; `device`: the user's name for it. What begins with
    `refresh` is None for a login without a refresh token; see services.auth.store.logins."""

    __tablename__ = "logins"

    sid: str = Field(primary_key=True)
    account: int = Field(sa_type=sa.BigInteger, index=True)
    created: int = Field(sa_type=sa.BigInteger)
    expires: int = Field(sa_type=sa.BigInteger, index=True)
    """Unix seconds."""
    address: str
    client: str
    device: str = Field(default="", sa_column_kwargs={"server_default": ""})
    revision: int | None = Field(default=None, sa_type=sa.BigInteger)
    """Of its token. None: a replica of the version before has added it."""
    refresh_family: str | None = Field(default=None, unique=True, index=True)
    """SHA-256 in hex, as of the parts."""
    refresh_part: str | None = None
    """Of the valid refresh token."""
    refresh_spent: str | None = None
    """Of the one before."""
    refresh_salt: str | None = None
    """With it, the valid one is computed from the one before."""
    refreshed: int | None = Field(default=None, sa_type=sa.BigInteger)
    """When the one before was spent."""


class BotRow(AuthBase, table=True):
    """A bot. `owner`: the account that made it; 0: an operator did."""

    __tablename__ = "bots"

    account: int = Field(sa_type=sa.BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    owner: int = Field(sa_type=sa.BigInteger, index=True)
    created: int = Field(sa_type=sa.BigInteger)


class BotTokenRow(AuthBase, table=True):
    """A token of a bot that may be valid. `scopes`: words."""

    __tablename__ = "bot_tokens"

    sid: str = Field(primary_key=True)
    account: int = Field(sa_type=sa.BigInteger, index=True)
    name: str
    scopes: str
    created: int = Field(sa_type=sa.BigInteger)
    expires: int = Field(sa_type=sa.BigInteger, index=True)
    """Unix seconds."""


class TrailRow(AuthBase, table=True):
    """An act of the audit trail; see shared.contract.admin.Act."""

    __tablename__ = "trail"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(sa_type=_SERIAL, primary_key=True)
    time: int = Field(sa_type=sa.BigInteger, index=True)
    account: int = Field(sa_type=sa.BigInteger, index=True)
    act: str
    by: str
    address: str
    detail: str


class StateRow(AuthBase, table=True):
    """`revocations`: the highest revocation number. `maintenance`: 0 or 1."""

    __tablename__ = "state"

    name: str = Field(primary_key=True)
    value: int = Field(sa_type=sa.BigInteger)


class TicketRow(AuthBase, table=True):
    """A verification that is pending, or has passed and is not consumed yet."""

    __tablename__ = "tickets"

    ticket: str = Field(primary_key=True)
    purpose: str
    account: int = Field(sa_type=sa.BigInteger, index=True)
    email: str
    email_key: str = Field(index=True)
    node: str
    connection: int = Field(sa_type=sa.BigInteger)
    expires: int = Field(sa_type=sa.BigInteger, index=True)
    code: str
    """SHA-256 of the code mailed last, in hex; empty before the first mail."""
    secret: str = Field(sa_column_kwargs={"server_default": ""})
    """The argon2id hash of the secret that the request had. Empty here and below: the version before wrote the row."""
    address: str = Field(sa_column_kwargs={"server_default": ""})
    client: str = Field(sa_column_kwargs={"server_default": ""})
    """The dialect of the request."""
    requested: int = Field(sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    mails: int
    wrong: int
    passed: bool


class RecoveryRow(AuthBase, table=True):
    """A mailed ticket for a new password that is not spent. `digest`: its SHA-256 in hex. `account`: 0 of a decoy; see
    services.auth.store.recoveries."""

    __tablename__ = "recoveries"

    digest: str = Field(primary_key=True)
    account: int = Field(sa_type=sa.BigInteger, index=True)
    email_key: str
    """Of the address that it was mailed to."""
    expires: int = Field(sa_type=sa.BigInteger, index=True)


class OutboxRow(AuthBase, table=True):
    """An event of a committed transaction that the broker has not confirmed yet; `key` deduplicates it there."""

    __tablename__ = "outbox"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(sa_type=_SERIAL, primary_key=True)
    key: str
    subject: str
    payload: bytes
    trace: str


def _table(row: type[SQLModel]) -> sa.Table:
    table: sa.Table = row.__table__  # type: ignore[attr-defined]
    return table


accounts = _table(AccountRow)
secrets = _table(SecretRow)
revocations = _table(RevocationRow)
logins = _table(LoginRow)
bots = _table(BotRow)
bot_tokens = _table(BotTokenRow)
trail = _table(TrailRow)
state = _table(StateRow)
tickets = _table(TicketRow)
recoveries = _table(RecoveryRow)
outbox = _table(OutboxRow)
requests = request_table("requests", AuthBase.metadata)
health_table(AuthBase.metadata)
installation_table(AuthBase.metadata)
