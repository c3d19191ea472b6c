"""The tables of session: profiles, chats, who is in them, friendships, what waits for an answer.

Times are Unix milliseconds. `private_updated` and the like only ever grow, also within one millisecond. A chat's row is
the lock of all that concerns its membership: `version`, `size` and `seats` change with it, in the same transaction.
"""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.session.domain import LOBBY
from shared.contract.model import Role

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LIVE = sa.text(f"role > {Role.LEFT:d}")
_HOSTS = sa.text(f"role > {Role.MEMBER:d}")
_JOINING = sa.text(f"role > {Role.LEFT:d} AND unread_from IS NULL")


class Rows(SQLModel, registry=registry()):
    """What holds these tables, and no other service's."""


def _number(**column: object) -> int:
    """64 bits: an id, an index, a version or a time."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class Profile(Rows, table=True):
    """`uuid` is not unique: a deleted account's may be taken again before this service has heard of the deletion."""

    id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    uuid: str = Field(index=True)
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
    `pair` names the two people of a private chat ("1:2", the lower number first), so that they have one."""

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
    `seat`: the order of joining. `unread_from` is NULL until the join is complete; so long, `first_index` says about
    where the account came in."""

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
        sa.Index("member_host", "chat", "seat", sqlite_where=_HOSTS, postgresql_where=_HOSTS),
        sa.Index("member_joining", "account", sqlite_where=_JOINING, postgresql_where=_JOINING),
        {"sqlite_with_rowid": False},
    )


class Friendship(Rows, table=True):
    """Two rows for each, one per direction."""

    account: int = _number(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    friend: int = _number(primary_key=True, foreign_key="profile.id")
    created: int = _number()

    __table_args__ = ({"sqlite_with_rowid": False},)


class FriendRequest(Rows, table=True):
    """It waits for the answer of `account`. Two people never have asked each other: then they are friends."""

    __tablename__ = "friend_request"

    applicant: int = _number(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    account: int = _number(primary_key=True, foreign_key="profile.id")
    text: str
    created: int = _number()

    __table_args__ = (
        sa.Index("friend_request_account", "account", "created", "applicant"),
        {"sqlite_with_rowid": False},
    )


class Application(Rows, table=True):
    """It waits for the answer of the group's owner or an admin."""

    chat: int = _number(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    applicant: int = _number(primary_key=True, foreign_key="profile.id")
    text: str
    created: int = _number()

    __table_args__ = (sa.Index("application_applicant", "applicant"), {"sqlite_with_rowid": False})


class Kept(Rows, table=True):
    """A packed notice that some dialect of the account has not shown yet. Numbers are never used again."""

    number: int = Field(sa_column=sa.Column(_ROW_ID, sa.Identity(), primary_key=True))
    account: int = _number(foreign_key="profile.id")
    notice: bytes
    created: int = _number()

    __table_args__ = (sa.Index("kept_account", "account", "number"), {"sqlite_autoincrement": True})


metadata = Rows.metadata
profile = metadata.tables["profile"]
chat = metadata.tables["chat"]
member = metadata.tables["member"]
friendship = metadata.tables["friendship"]
friend_request = metadata.tables["friend_request"]
application = metadata.tables["application"]
kept = metadata.tables["kept"]
