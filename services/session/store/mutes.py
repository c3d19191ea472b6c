"""Chats that a member has muted."""

from collections.abc import Sequence

import sqlalchemy as sa

from services.session.domain import ALWAYS, hidden_error
from services.session.store.sql import IS_MEMBER
from services.session.tables import member
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import Mute, MuteChat

_IS_MUTED = sa.or_(member.c.muted_until > 0, member.c.mentions_only.is_(True))


def mute_chat(connection: sa.Connection, request: MuteChat) -> None:
    """Raises RequestError unless the actor is a member."""
    own = sa.and_(member.c.chat == request.chat, member.c.account == request.actor, IS_MEMBER)
    values = {"muted_until": min(request.until, ALWAYS), "mentions_only": request.mentions_only}
    if connection.execute(sa.update(member).where(own).values(values)).rowcount == 0:
        raise hidden_error(ErrorCode.FORBIDDEN)


def mutes_of(connection: sa.Connection, account: AccountId, numbers: Sequence[int]) -> dict[ChatId, Mute]:
    """Those of the chats that the account, as a member, has muted; perhaps until a time in the past."""
    muted = sa.select(member.c.chat, member.c.muted_until, member.c.mentions_only).where(
        member.c.account == account, member.c.chat.in_(numbers), IS_MEMBER, _IS_MUTED
    )
    return {ChatId(row[0]): Mute(row[1], row[2]) for row in connection.execute(muted)}
