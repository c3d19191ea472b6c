"""The state of the message database: the highest known account and chat, the identity that all databases of the
installation share, and the epoch. The epoch changes after a restore."""

import secrets

import sqlalchemy as sa

from services.message.tables import cursors, heads
from shared.contract.ids import SYSTEM_ACCOUNT, AccountId, ChatId
from shared.contract.installation import DatabaseState
from shared.database import open_engine
from shared.identity import read_identity

_LAST_ACCOUNT = sa.select(sa.func.max(cursors.c.account_id)).where(cursors.c.account_id != SYSTEM_ACCOUNT)
_LAST_CHAT = sa.select(heads.c.chat_id, heads.c.last_time).order_by(heads.c.chat_id.desc()).limit(1)


def database_state(connection: sa.Connection) -> DatabaseState:
    """The state of the database. The database may have the schema of an earlier version."""
    identity = read_identity(connection)
    last = connection.execute(_LAST_CHAT).one_or_none() or (0, 0)
    account = AccountId(connection.scalar(_LAST_ACCOUNT) or 0)
    return DatabaseState(identity.value, identity.agreed, account, 0, ChatId(last[0]), last[1])


def renew_epoch(url: str) -> None:
    """Give the database a new epoch. A database without the table gets its first epoch by the migration."""
    with open_engine(url) as engine, engine.begin() as connection:
        if sa.inspect(connection).has_table("epochs"):
            renewed = sa.text("UPDATE epochs SET value = :value WHERE id = 1")
            connection.execute(renewed, {"value": secrets.token_hex(4)})
