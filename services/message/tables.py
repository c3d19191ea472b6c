"""The tables of message: messages, the heads of their chats, and how far each account has read.

A message is never deleted and never moves: neither an id nor an index is ever given twice.
"""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class Rows(SQLModel, registry=registry()):
    """What holds these tables, and no other service's."""


def _number(**column: object) -> int:
    """64 bits: an id, an index or a time (Unix milliseconds)."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class Head(Rows, table=True):
    """The last index of a chat and that message's time; whoever appends to the chat locks this row."""

    __tablename__ = "heads"

    chat_id: int = Field(sa_column=sa.Column(_ROW_ID, primary_key=True, autoincrement=False))
    last_index: int = _number()
    last_time: int = _number()


class Message(Rows, table=True):
    """Dense indexes within the chat; `body` is what the edge made of the segments.

    A nonce names a message within its chat and sender. It comes first in its index because edges count theirs: what
    is new then lies side by side there, and a commit writes few pages.
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


class Cursor(Rows, table=True):
    """Read state: everything up to `read_index`, and the spans in `above`, JSON `[[low, high], …]`. It knows nothing
    of joining: what lies before an account's first unread index is not in it."""

    __tablename__ = "cursors"

    account_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    read_index: int = _number()
    above: str

    __table_args__ = ({"sqlite_with_rowid": False},)


metadata = Rows.metadata
heads = metadata.tables["heads"]
messages = metadata.tables["messages"]
cursors = metadata.tables["cursors"]
