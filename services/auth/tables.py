"""Auth's tables. Times are Unix milliseconds unless their name says otherwise."""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.database import health_table
from shared.identity import installation_table
from shared.run_once import request_table
from shared.sql import partial_index

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite assigns numbers only to an INTEGER PRIMARY KEY. In SQLite, such a column has 64 bits."""


_IS_DELETED = sa.text("uuid IS NULL")
IS_TWIN = sa.text("username_twin <> 0")
IS_GUEST = sa.text("guest_seen IS NOT NULL")
"""The conditions of the partial indexes, as literal text. A query that contains the same text uses the index."""


class AuthBase(SQLModel, registry=registry()):
    """Auth's own metadata, separate from other services'."""


class AccountRow(AuthBase, table=True):
    """An account. After a deletion, the row stays with only the id, so that the id is never reused."""

    __tablename__ = "accounts"
    __table_args__ = (
        partial_index("accounts_deleted", "id", where=_IS_DELETED),
        sa.Index("accounts_names", "username_key", "username_twin", unique=True),
        sa.Index("accounts_looks", "username_look", "username_twin", unique=True),
        partial_index("accounts_names_twins", "username_key", where=IS_TWIN),
        partial_index("accounts_guests", "guest_seen", where=IS_GUEST),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(sa_type=_SERIAL, primary_key=True)
    uuid: str | None = Field(unique=True)
    """None if the account is deleted."""
    email: str | None
    email_key: str | None = Field(unique=True)
    email_verified: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    """The user has received a mailed link or ticket at this address."""
    verification_offered: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    """A login has mailed a link that verifies the address."""
    username: str | None = Field(unique=True)
    username_key: str | None
    """See shared.names.name_key."""
    username_look: str | None
    """See shared.names.name_look."""
    username_twin: int = Field(sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    """0, or the account's id if an earlier account has a username with the same key or look."""
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
    guest: str = Field(sa_column_kwargs={"server_default": ""})
    guest_seen: int | None = Field(sa_type=sa.BigInteger)
    """When an edge last named this guest; None: the account is no guest."""


class SecretRow(AuthBase, table=True):
    """`verifier`: the argon2id hash of the text that a client with this scheme sends."""

    __tablename__ = "secrets"
    account: int = Field(sa_type=sa.BigInteger, primary_key=True)
    scheme: str = Field(primary_key=True)
    verifier: str


class RevocationRow(AuthBase, table=True):
    """A revocation of tokens. Revocation numbers grow in the order of commits, because each writer locks the row of the
    counter."""

    __tablename__ = "revocations"
    __table_args__ = (sa.Index("ix_revocations_account_sid", "account", "sid"),)
    number: int = Field(sa_type=sa.BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    account: int = Field(sa_type=sa.BigInteger)
    sid: str
    seconds: int = Field(sa_type=sa.BigInteger, index=True)


class LoginRow(AuthBase, table=True):
    """A login whose token may be valid. `client`: the dialect of the client. `device`: the name that the user gave to
    the device. Fields whose names begin with `refresh` are None for a login without a refresh token; see
    services.auth.store.logins."""

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
    """The revision of the login's token; never None."""
    refresh_family: str | None = Field(default=None, unique=True, index=True)
    """The SHA-256 hash of the family in hex. The parts are also stored as such hashes."""
    refresh_part: str | None = None
    """The part of the valid refresh token."""
    refresh_spent: str | None = None
    """The part of the previous refresh token."""
    refresh_salt: str | None = None
    """The salt with which the valid refresh token is computed from the previous one."""
    refreshed: int | None = Field(default=None, sa_type=sa.BigInteger)
    """When the previous refresh token was spent."""
    refresh_used: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """An edge has reported the use of a token that was issued together with the valid refresh token."""


class BotRow(AuthBase, table=True):
    """A bot. `owner`: the account that made the bot; 0 if an operator made it."""

    __tablename__ = "bots"
    account: int = Field(sa_type=sa.BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    owner: int = Field(sa_type=sa.BigInteger, index=True)
    created: int = Field(sa_type=sa.BigInteger)


class BotTokenRow(AuthBase, table=True):
    """A token of a bot that may be valid. `scopes`: the scopes, separated by blanks."""

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
    """SHA-256 of the code that was mailed last, in hex; empty before the first mail."""
    secret: str = Field(sa_column_kwargs={"server_default": ""})
    """The argon2id hash of the secret in the request."""
    address: str = Field(sa_column_kwargs={"server_default": ""})
    client: str = Field(sa_column_kwargs={"server_default": ""})
    """The dialect of the request."""
    requested: int = Field(sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})
    mails: int
    wrong: int
    passed: bool


class RecoveryRow(AuthBase, table=True):
    """A mailed ticket for a new password that is not spent. `digest`: the SHA-256 hash of the ticket in hex. `account`:
    0 for a decoy; see services.auth.store.recoveries."""

    __tablename__ = "recoveries"
    digest: str = Field(primary_key=True)
    account: int = Field(sa_type=sa.BigInteger, index=True)
    email_key: str
    """The key of the address that the ticket was mailed to."""
    expires: int = Field(sa_type=sa.BigInteger, index=True)


class OutboxRow(AuthBase, table=True):
    """An event of a committed transaction that NATS has not confirmed yet. NATS uses `key` to drop a repeated event."""

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
