"""The tables of message: messages, the heads of their chats, changes of messages, and each account's read state.

A message is never deleted: no id and no index is assigned twice. Where messages expire (message.retention_days), are
edited or recalled, only their body is replaced: no path can show the former one.
"""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.database_proof import health_table
from shared.identity import installation_table

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class MessageTables(SQLModel, registry=registry()):
    """The registry of these tables only, not of other services'."""


def _number(**column: object) -> int:
    """64 bits: an id, an index or a time (Unix milliseconds)."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class HeadRow(MessageTables, table=True):
    """Index and time of a chat's last message, and the number of its last change of a message (`rev`). Appending to the
    chat and changing its messages lock this row."""

    __tablename__ = "heads"

    chat_id: int = Field(sa_column=sa.Column(_ROW_ID, primary_key=True, autoincrement=False))
    last_index: int = _number()
    last_time: int = _number()
    rev: int = _number(sa_column_kwargs={"server_default": "0"})


class MessageRow(MessageTables, table=True):
    """Indexes are dense within the chat; `body` holds the segments as the edge encoded them.

    A nonce identifies a message within its chat and sender. It is the first column of its index because edges count
    their nonces up, and clients begin theirs with the time: new entries are then neighbours, and a commit writes few
    pages.
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
    """What is delivered to an account, and what it has read. Everything up to `read_index` is delivered, and the ranges
    in `above`, JSON `[[low, high], …]`; everything up to `read_upto` is read. It does not know when the account joined:
    indexes before the account's first unread one are not in it.

    The version before has one state for both, under the first two names. NULL: what is delivered is read; nothing but
    that version has written the row."""

    __tablename__ = "cursors"

    account_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    read_index: int = _number()
    above: str
    read_upto: int | None = Field(default=None, sa_type=sa.BigInteger)

    __table_args__ = ({"sqlite_with_rowid": False},)


class RevisionRow(MessageTables, table=True):
    """The last change of a message of each slot: its text (1), its reactions (2), its pin (3). `kind`: edit, recall,
    reaction, pin or unpin. The row with the chat's highest `rev` is never deleted."""

    __tablename__ = "revisions"

    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    slot: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    index: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    rev: int = _number()
    kind: str
    actor: int = _number()
    time: int = _number()

    __table_args__ = (sa.UniqueConstraint("chat_id", "rev", name="revisions_order"), {"sqlite_with_rowid": False})


class EditRow(MessageTables, table=True):
    """A text that a message has had: the nonce under which it was sent, and a hash of its body. The text of the message
    itself (`rev` 0) is here once it has changed."""

    __tablename__ = "edits"

    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    index: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    nonce: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    rev: int = _number()
    digest: bytes

    __table_args__ = ({"sqlite_with_rowid": False},)


class ReactionRow(MessageTables, table=True):
    __tablename__ = "reactions"

    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    index: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    emoji: str = Field(primary_key=True)
    account_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})

    __table_args__ = ({"sqlite_with_rowid": False},)


class EpochRow(MessageTables, table=True):
    """The one row (`id` 1). A database that is restored from a backup gets a new `value`: messages that clients have
    may be missing from it."""

    __tablename__ = "epochs"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    value: str


class PlacementRow(MessageTables, table=True):
    """Empty. The previous version reads it at its start; the next version drops it."""

    __tablename__ = "placement"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str
    partitions: int
    id_space: int
    id_spaces: int
    version: int = _number()
    served: str


metadata = MessageTables.metadata
health_table(metadata)
installation_table(metadata)
heads = metadata.tables["heads"]
messages = metadata.tables["messages"]
cursors = metadata.tables["cursors"]
