"""The tables of the message service: messages, the last index of each chat, changes of messages, and each account's
read state.

Messages are never deleted, so every id and every index is assigned only once. When a message expires
(message.retention_days), or is edited or recalled, only its body is replaced. After the replacement no request can
return the previous text.
"""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.database import health_table
from shared.identity import installation_table

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class MessageTables(SQLModel, registry=registry()):
    """The registry of these tables only, without those of other services."""


def _number(**column: object) -> int:
    """A column of 64 bits: an id, an index or a time (Unix milliseconds)."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class HeadRow(MessageTables, table=True):
    """The index and time of a chat's last message, and the number of its last change of a message (`rev`). This row is
    locked while a message is appended to the chat or changed."""

    __tablename__ = "heads"
    chat_id: int = Field(sa_column=sa.Column(_ROW_ID, primary_key=True, autoincrement=False))
    last_index: int = _number()
    last_time: int = _number()
    rev: int = _number(sa_column_kwargs={"server_default": "0"})


class MessageRow(MessageTables, table=True):
    """A posted message. The indexes of a chat have no gaps. `body` holds the segments as the edge encoded them.

    A nonce identifies a message within its chat and sender. The nonce is the first column of its index, because edges
    count nonces up and clients begin nonces with the time. So new entries are neighbours in the index, and a commit
    writes few pages.
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
    """The messages that are delivered to an account, and the messages that the account has read. Everything up to
    `read_index` is delivered, and so are the ranges in `above` (JSON `[[low, high], …]`). Everything up to `read_upto`
    is read; NULL means 0. The row says nothing about messages from before the account joined. `unread_from`: see
    MarkUnread."""

    __tablename__ = "cursors"
    account_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    read_index: int = _number()
    above: str
    read_upto: int | None = Field(default=None, sa_type=sa.BigInteger)
    unread_from: int | None = Field(default=None, sa_type=sa.BigInteger)

    __table_args__ = ({"sqlite_with_rowid": False},)


class DeviceRow(MessageTables, table=True):
    """A device of an account; see OpenDevice. Its deliveries are in `cursors`, with −`id` in place of the account.
    `used`: the time of a recent login, at most a day before the last one. No id is assigned twice, because deliveries
    to a removed device may arrive late."""

    __tablename__ = "devices"
    id: int = Field(sa_column=sa.Column(_ROW_ID, sa.Identity(), primary_key=True))
    account_id: int = _number()
    name: str
    used: int = _number()

    __table_args__ = (sa.UniqueConstraint("account_id", "name", name="devices_name"), {"sqlite_autoincrement": True})


class DraftRow(MessageTables, table=True):
    """The draft of an account in a chat; see SavedDraft."""

    __tablename__ = "drafts"
    account_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    chat_id: int = _number(primary_key=True, sa_column_kwargs={"autoincrement": False})
    rev: int = _number()
    text: str
    reply_to: int = _number()

    __table_args__ = ({"sqlite_with_rowid": False},)


class RevisionRow(MessageTables, table=True):
    """The last change of each part (slot) of a message: the text (1), the reactions (2), the pin (3). `kind`: edit,
    recall, reaction, pin or unpin. The row with the chat's highest `rev` is never deleted."""

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
    """A text that a message has had: the nonce under which the text was sent, and a hash of its body. After the first
    change of the message, this table also has its first text (`rev` 0)."""

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
    """The only row (`id` 1) of this table. A database that is restored from a backup gets a new `value`, because it may
    lack messages that clients have."""

    __tablename__ = "epochs"
    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    value: str


metadata = MessageTables.metadata
health_table(metadata)
installation_table(metadata)
heads = metadata.tables["heads"]
messages = metadata.tables["messages"]
cursors = metadata.tables["cursors"]
devices = metadata.tables["devices"]
drafts = metadata.tables["drafts"]
