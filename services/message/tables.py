"""The tables of message: messages, the heads of their chats, and each account's read state.

A message is never deleted or moved: no id and no index is assigned twice.
"""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class MessageTables(SQLModel, registry=registry()):
    """The registry of these tables only, not of other services'."""


def _number(**column: object) -> int:
    """64 bits: an id, an index or a time (Unix milliseconds)."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class HeadRow(MessageTables, table=True):
    """Index and time of a chat's last message. Appending to the chat locks this row."""

    __tablename__ = "heads"

    chat_id: int = Field(sa_column=sa.Column(_ROW_ID, primary_key=True, autoincrement=False))
    last_index: int = _number()
    last_time: int = _number()


class MessageRow(MessageTables, table=True):
    """Indexes are dense within the chat; `body` holds the segments as the edge encoded them.

    A nonce identifies a message within its chat and sender. It is the first column of its index because edges count
    their nonces up: new entries are then neighbours, and a commit writes few pages.
    """

    __tablename__ = "messages"

    id: int = Field(sa_column=sa.Column(_ROW_ID, sa.Identity(), primary_key=True))
    chat_id: int = _number()
    index: int = _number()
    sender: int = _number()
    nonce: int = _number()
    time: int = _number()
    body: bytes

    __table_args__ = (
        sa.UniqueConstraint("chat_id", "index", name="messages_order"),
        sa.UniqueConstraint("nonce", "sender", "chat_id", name="messages_nonce"),
    )


class CursorRow(MessageTables, table=True):
    """Read state: everything up to `read_index`, and the ranges in `above`, JSON `[[low, high], …]`. It does not know
    when the account joined: indexes before the account's first unread one are not in it."""

    __tablename__ = "cursors"

    account_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    read_index: int = _number()
    above: str

    __table_args__ = ({"sqlite_with_rowid": False},)


class MessageHealthRow(MessageTables, table=True):
    """Overwritten by health checks, each process in a slot of its own; see Database.check."""

    __tablename__ = "health"

    slot: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    checked: int = _number()


class PlacementRow(MessageTables, table=True):
    """The one row (`id` 1) of one of several databases; a sole database has none. Transactions that change chats lock
    it, and reads compare its version. `served`: ranges of partitions as text. Ids: see store.placement."""

    __tablename__ = "placement"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str
    partitions: int
    id_space: int
    id_spaces: int
    version: int = _number()
    served: str


metadata = MessageTables.metadata
heads = metadata.tables["heads"]
messages = metadata.tables["messages"]
cursors = metadata.tables["cursors"]
