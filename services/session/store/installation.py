"""The state of the session service's database: the highest assigned number of a chat, the highest known account, and
the identity that all databases of the installation share."""

import sqlalchemy as sa

from services.session.tables import chat, profile
from shared.contract.ids import SYSTEM_ACCOUNT, AccountId, ChatId
from shared.contract.installation import DatabaseState
from shared.contract.model import ChatKind, JoinPolicy
from shared.identity import read_identity

_LAST_ACCOUNT = (
    sa.select(profile.c.id, profile.c.created)
    .where(profile.c.id != SYSTEM_ACCOUNT)
    .order_by(profile.c.id.desc())
    .limit(1)
)
_LAST_CHAT = sa.select(chat.c.id, chat.c.created).order_by(chat.c.id.desc()).limit(1)
_SET_SEQUENCE = sa.text("SELECT setval(pg_get_serial_sequence('chat', 'id'), :number)")


def database_state(connection: sa.Connection) -> DatabaseState:
    """The state of the database. The database may have the schema of an earlier version."""
    identity = read_identity(connection)
    account = connection.execute(_LAST_ACCOUNT).one_or_none() or (0, 0)
    last = connection.execute(_LAST_CHAT).one_or_none() or (0, 0)
    return DatabaseState(identity.value, identity.agreed, AccountId(account[0]), account[1], ChatId(last[0]), last[1])


def skip_chats(connection: sa.Connection, number: ChatId, now: int) -> None:
    """Reserve chat numbers by inserting an empty group, so that the next chat gets a higher number than `number` and
    than all assigned numbers."""
    values = {
        "id": number, "kind": ChatKind.GROUP, "name": "", "owner": 0, "join_policy": JoinPolicy.CLOSED, "avatar": "",
        "avatar_hash": "", "created": now, "updated": now, "version": 1, "size": 0, "seats": 0,
    }  # fmt: skip
    connection.execute(sa.insert(sa.table("chat", *map(sa.column, values))).values(values))
    if connection.dialect.name == "postgresql":
        connection.execute(_SET_SEQUENCE, {"number": number})
