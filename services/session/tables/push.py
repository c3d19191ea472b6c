"""The tables of push notifications: subscribed devices, chats with new messages, and the notifications of each
device."""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.sql import partial_index

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IS_DUE = sa.text("due IS NOT NULL")
_IS_WAITING = sa.text("waiting > 0")


class SessionBase(SQLModel, registry=registry()):
    """Session's own metadata, separate from other services'."""


def int64(**column: object) -> int:
    """A column of 64 bits: an id, an index, a version or a time."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class PushSubscriptionRow(SessionBase, table=True):
    """A device of the login `sid` that a push service notifies. `digest`: the hash of the endpoint, which is too long
    for an index. `vapid_key`: the public key to which the subscription is bound. `due`: the time of the next attempt.
    `attempts`: the number of attempts that have failed since `failing_since`, which is 0 if none has failed. The
    process that holds `lease` sends until `leased_until`. If `lease` is empty, `leased_until` is the end of the last
    lease."""

    __tablename__ = "push_subscription"
    id: int = Field(sa_column=sa.Column(ROW_ID, sa.Identity(), primary_key=True))
    account: int = int64(foreign_key="profile.id")
    sid: str
    digest: str = Field(unique=True)
    endpoint: str
    origin: str
    p256dh: str
    auth: str
    vapid_key: str
    kind: str
    language: str
    created: int = int64()
    last_ok: int = int64()
    last_error: str
    attempts: int
    failing_since: int = int64()
    due: int = int64()
    lease: str
    leased_until: int = int64()

    __table_args__ = (sa.Index("push_subscription_account", "account"), {"sqlite_autoincrement": True})


class PushChatRow(SessionBase, table=True):
    """A chat with a member who has a device. Messages after `done` notify if they are still unread at the time `due`,
    which is NULL if nothing is new. `moves` counts the events of new messages. `moved`: the time of the last such
    event."""

    __tablename__ = "push_chat"
    chat: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    done: int = int64()
    moves: int = int64()
    moved: int = int64()
    due: int | None = Field(sa_type=sa.BigInteger)

    __table_args__ = (
        partial_index("push_chat_due", "due", where=_IS_DUE), {"sqlite_with_rowid": False},
    )  # fmt: skip


class PushRemovedRow(SessionBase, table=True):
    """A device that its user has removed from another device. It must not subscribe again by itself, neither with this
    endpoint nor with another endpoint by its login `sid`. `digest`: the hash of the endpoint. `sid`: empty for a device
    of IRC."""

    __tablename__ = "push_removed"

    account: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    digest: str = Field(primary_key=True)
    time: int = int64()
    sid: str = Field(sa_column_kwargs={"server_default": ""})

    __table_args__ = ({"sqlite_with_rowid": False},)


class PushNotificationRow(SessionBase, table=True):
    """The notification about a chat that a device shows, and the notification that waits to be sent. `shown`,
    `waiting`: the index of the message, or 0 for no message. `urgent`: the waiting message is of a private chat, or a
    mention."""

    __tablename__ = "push_notification"
    subscription: int = int64(
        primary_key=True,
        foreign_key="push_subscription.id",
        ondelete="CASCADE",
        sa_column_kwargs={"autoincrement": False},
    )
    chat: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    shown: int = int64()
    waiting: int = int64()
    urgent: bool

    __table_args__ = (
        partial_index("push_notification_waiting", "subscription", where=_IS_WAITING),
        {"sqlite_with_rowid": False},
    )


push_subscription, push_removed, push_chat, push_notification = (
    SessionBase.metadata.tables[name]
    for name in ("push_subscription", "push_removed", "push_chat", "push_notification")
)
