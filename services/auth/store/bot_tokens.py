"""Tokens of bots. Each token that may be valid has a row, which does not contain the token itself. Every function is
one step of a transaction."""

import sqlalchemy as sa

from services.auth.store.revocations import revoke
from services.auth.tables import bot_tokens
from shared.contract.auth import Revocation
from shared.contract.bots import BotTokenView
from shared.contract.ids import AccountId


def add(connection: sa.Connection, account: AccountId, token: BotTokenView) -> None:
    values = {"sid": token.sid, "name": token.name, "created": token.created, "expires": token.expires}
    connection.execute(bot_tokens.insert().values(account=account, scopes=" ".join(token.scopes), **values))


def list_valid(connection: sa.Connection, account: AccountId, seconds: int) -> list[BotTokenView]:
    """The tokens that are valid at `seconds` (Unix), oldest first."""
    valid = sa.select(bot_tokens).where(bot_tokens.c.account == account, bot_tokens.c.expires >= seconds)
    rows = connection.execute(valid.order_by(bot_tokens.c.created, bot_tokens.c.sid))
    return [BotTokenView(row.sid, row.name, row.scopes.split(" "), row.created, row.expires) for row in rows]


def revoke_one(connection: sa.Connection, account: AccountId, sid: str) -> Revocation | None:
    """Revokes one token of a bot. Returns None if the bot has no such token."""
    revoked = _revoke(connection, account, bot_tokens.c.sid == sid)
    return revoked[0] if revoked else None


def revoke_all(connection: sa.Connection, account: AccountId) -> list[Revocation]:
    return _revoke(connection, account, sa.true())


def purge_expired(connection: sa.Connection, seconds: int) -> None:
    connection.execute(bot_tokens.delete().where(bot_tokens.c.expires < seconds))


def _revoke(connection: sa.Connection, account: AccountId, which: sa.ColumnElement[bool]) -> list[Revocation]:
    """Each revocation gets the time at which its token expires. Revocations are purged by their time, and a bot's token
    may be valid for longer than other tokens."""
    ended = bot_tokens.delete().where(bot_tokens.c.account == account, which)
    rows = connection.execute(ended.returning(bot_tokens.c.sid, bot_tokens.c.expires)).all()
    return [revoke(connection, account, row.sid, row.expires) for row in rows]
