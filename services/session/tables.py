"""The tables of session: profiles, chats, who is in them, friendships. Times are Unix milliseconds.

`private_updated` and the like only ever grow, also within one millisecond. A chat's row is the lock of all that
concerns its membership: `version`, `size` and `seats` change with it, in the same transaction.
"""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.session.domain import LOBBY
from shared.contract.model import Role

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LIVE = sa.text(f"role > {Role.LEFT:d}")


class Rows(SQLModel, registry=registry()):
    """What holds these tables, and no other service's."""


def _number(**column: object) -> int:
    """64 bits: an id, an index, a version or a time."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class Profile(Rows, table=True):
    """`uuid` is not unique: a deleted account's may be taken again before this service has heard of the deletion."""

    id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    uuid: str
    nickname: str
    avatar: str
    avatar_hash: str
    icon_id: int = _number()
    signature: str
    vip: int = _number()
    status: int = _number()
    created: int = _number()
    public_updated: int = _number()
    private_updated: int = _number()
    deleted: bool


class Chat(Rows, table=True):
    """`size`: how many members there are; `seats`: how many there ever were; `owner` 0: nobody.
    `pair` names the two people of a private chat, so that they have one."""

    id: int = Field(sa_column=sa.Column(_ROW_ID, sa.Identity(start=LOBBY + 1), primary_key=True))
    kind: str
    name: str
    owner: int = _number()
    join_policy: str
    avatar: str
    avatar_hash: str
    created: int = _number()
    updated: int = _number()
    version: int = _number()
    size: int = _number()
    seats: int = _number()
    pair: str | None = Field(unique=True)


class Member(Rows, table=True):
    """`version`: the chat's at the last change of this row; role LEFT is kept, so that changes can be told.
    `seat`: the order of joining. `unread_from` is NULL until the join is complete."""

    chat: int = _number(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = _number(primary_key=True, foreign_key="profile.id")
    role: int = Field(sa_type=sa.SmallInteger)
    seat: int = _number()
    first_index: int = _number()
    unread_from: int | None = Field(sa_type=sa.BigInteger)
    version: int = _number()

    __table_args__ = (
        sa.Index("member_account", "account", "chat"),
        sa.Index("member_change", "chat", "version", "account"),
        sa.Index("member_seat", "chat", "seat", sqlite_where=_LIVE, postgresql_where=_LIVE),
        {"sqlite_with_rowid": False},
    )


class Friendship(Rows, table=True):
    """Two rows for each, one per direction."""

    account: int = _number(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    friend: int = _number(primary_key=True, foreign_key="profile.id")
    created: int = _number()

    __table_args__ = ({"sqlite_with_rowid": False},)


metadata = Rows.metadata
profile = metadata.tables["profile"]
chat = metadata.tables["chat"]
member = metadata.tables["member"]
friendship = metadata.tables["friendship"]
