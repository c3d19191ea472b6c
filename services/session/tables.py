"""Session's tables: profiles, chats, members, friendships, pending requests, blocked accounts,
bans, silences and links of groups, hooks, reports to the operator, pending notifications.

Times are Unix milliseconds. `private_updated` and the other times of change only grow, also within one millisecond.
A chat's row is the lock for its membership: `version`, `size` and `seats` change in the transaction that changes it.
"""

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.session.domain import LOBBY
from shared.contract.model import Role
from shared.database_proof import health_table
from shared.identity import installation_table
from shared.run_once import request_table

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IS_MEMBER = sa.text(f"role > {Role.LEFT:d}")
_IS_ADMIN = sa.text(f"role > {Role.MEMBER:d}")
_IS_JOINING = sa.text(f"role > {Role.LEFT:d} AND unread_from IS NULL")


class SessionBase(SQLModel, registry=registry()):
    """Session's own metadata, separate from other services'."""


def _number(**column: object) -> int:
    """64 bits: an id, an index, a version or a time."""
    number: int = Field(sa_type=sa.BigInteger, **column)  # type: ignore[call-overload]
    return number


class ProfileRow(SessionBase, table=True):
    """`uuid` is not unique: auth may reuse a deleted account's before this service receives the deletion."""

    __tablename__ = "profile"

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
    bot: bool = Field(sa_column_kwargs={"server_default": sa.false()})


class ChatRow(SessionBase, table=True):
    """`size`: the number of current members; `seats`: of all members ever; `owner` 0: none.
    `receipts`: members see what the others have read. `edit_seconds`, `recall_seconds`,
    `history_for_new`: see Chat. `default_name`: what was made of nicknames; it is the name until somebody gives one.
    `pair`: the two members of a private or notice chat ("1:2", the lower id first); unique, so a pair has one chat."""

    __tablename__ = "chat"

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
    receipts: bool = Field(sa_column_kwargs={"server_default": sa.true()})
    topic: str = Field(sa_column_kwargs={"server_default": ""})
    edit_seconds: int | None = Field(sa_type=sa.BigInteger)
    recall_seconds: int | None = Field(sa_type=sa.BigInteger)
    history_for_new: bool | None = None
    default_name: str | None = None


class MemberRow(SessionBase, table=True):
    """`version`: the chat's version at the last change of this row. Rows with role LEFT remain, so that readers of
    changes receive the departure. `seat`: the order of joining. `unread_from` is NULL until the join is finished;
    until then `first_index` is an estimate. `muted_until`, `mentions_only`: see Mute."""

    __tablename__ = "member"

    chat: int = _number(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = _number(primary_key=True, foreign_key="profile.id")
    role: int = Field(sa_type=sa.SmallInteger)
    seat: int = _number()
    first_index: int = _number()
    unread_from: int | None = Field(sa_type=sa.BigInteger)
    version: int = _number()
    muted_until: int = _number(sa_column_kwargs={"server_default": "0"})
    mentions_only: bool = Field(sa_column_kwargs={"server_default": sa.false()})

    __table_args__ = (
        sa.Index("member_account", "account", "chat"),
        sa.Index("member_change", "chat", "version", "account"),
        sa.Index("member_seat", "chat", "seat", sqlite_where=_IS_MEMBER, postgresql_where=_IS_MEMBER),
        sa.Index("member_host", "chat", "seat", sqlite_where=_IS_ADMIN, postgresql_where=_IS_ADMIN),
        sa.Index("member_joining", "account", sqlite_where=_IS_JOINING, postgresql_where=_IS_JOINING),
        {"sqlite_with_rowid": False},
    )


class FriendshipRow(SessionBase, table=True):
    """Two rows for each friendship, one per direction."""

    __tablename__ = "friendship"

    account: int = _number(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    friend: int = _number(primary_key=True, foreign_key="profile.id")
    created: int = _number()

    __table_args__ = ({"sqlite_with_rowid": False},)


class FriendRequestRow(SessionBase, table=True):
    """A friend request that `account` has not answered. No two accounts have requests to each other: the second
    request makes them friends."""

    __tablename__ = "friend_request"

    applicant: int = _number(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    account: int = _number(primary_key=True, foreign_key="profile.id")
    text: str
    created: int = _number()

    __table_args__ = (
        sa.Index("friend_request_account", "account", "created", "applicant"),
        {"sqlite_with_rowid": False},
    )


class MembershipRequestRow(SessionBase, table=True):
    """A request to join a group that neither its owner nor an admin has answered."""

    __tablename__ = "application"

    chat: int = _number(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    applicant: int = _number(primary_key=True, foreign_key="profile.id")
    text: str
    created: int = _number()

    __table_args__ = (sa.Index("application_applicant", "applicant"), {"sqlite_with_rowid": False})


class BlockRow(SessionBase, table=True):
    """`account` rejects private messages and friend requests of `blocked`."""

    __tablename__ = "block"

    account: int = _number(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    blocked: int = _number(primary_key=True, foreign_key="profile.id")
    created: int = _number()

    __table_args__ = (sa.Index("block_blocked", "blocked"), {"sqlite_with_rowid": False})


class BanRow(SessionBase, table=True):
    """`account` cannot join the group before `until`."""

    __tablename__ = "ban"

    chat: int = _number(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = _number(primary_key=True, foreign_key="profile.id")
    until: int = _number()
    by: int = _number()

    __table_args__ = (sa.Index("ban_account", "account"), {"sqlite_with_rowid": False})


class SilenceRow(SessionBase, table=True):
    """`account` may not post to the group before `until`; 0: all but the owner and the admins."""

    __tablename__ = "silence"

    chat: int = _number(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = _number(primary_key=True)
    until: int = _number()

    __table_args__ = (sa.Index("silence_account", "account"), {"sqlite_with_rowid": False})


class LinkRow(SessionBase, table=True):
    """Who has the link joins the group: `uses` accounts (NULL: any number), before `expires`."""

    __tablename__ = "link"

    link: str = Field(primary_key=True)
    chat: int = _number(foreign_key="chat.id")
    by: int = _number()
    uses: int | None = Field(sa_type=sa.BigInteger)
    expires: int = _number()
    created: int = _number()

    __table_args__ = (sa.Index("link_chat", "chat", "created"),)


class HookRow(SessionBase, table=True):
    """Who has the secret with this digest posts to the group as `account`, by the rights of `by`. `hook` is no secret.
    `account` is NULL until a hook posts that was made before hooks had accounts."""

    __tablename__ = "hook"

    hook: str = Field(primary_key=True)
    digest: str
    chat: int = _number(foreign_key="chat.id")
    by: int = _number()
    name: str
    created: int = _number()
    account: int | None = Field(sa_type=sa.BigInteger)

    __table_args__ = (
        sa.Index("hook_digest", "digest", unique=True),
        sa.Index("hook_chat", "chat", "created"),
        sa.Index("hook_by", "by"),
    )


class OutgoingHookRow(SessionBase, table=True):
    """Posts the messages of the group from index `next` on to `endpoint`, signed by `secret`. `known`: the last index
    that session has heard of. `due`: the time of the next attempt; `attempts` have failed since `failing_since`, 0 if
    none has; `stopped`: there are no more. The turn that `lease` names posts until `leased_until`. `slow`: the
    last turn was."""

    __tablename__ = "outgoing_hook"

    hook: str = Field(primary_key=True)
    chat: int = _number(foreign_key="chat.id")
    by: int = _number()
    name: str
    endpoint: str
    secret: str
    created: int = _number()
    next: int = _number()
    known: int = _number()
    due: int = _number()
    attempts: int
    failing_since: int = _number()
    error: str
    stopped: bool
    lease: str
    leased_until: int = _number()
    slow: bool = Field(sa_column_kwargs={"server_default": sa.false()})

    __table_args__ = (sa.Index("outgoing_hook_chat", "chat", "created"), sa.Index("outgoing_hook_by", "by"))


class ReportRow(SessionBase, table=True):
    """A message as it was when `reporter` reported it to the operator. Numbers are never reused."""

    __tablename__ = "report"

    number: int = Field(sa_column=sa.Column(_ROW_ID, sa.Identity(), primary_key=True))
    chat: int = _number()
    index: int = _number()
    sender: int = _number()
    sent: int = _number()
    body: bytes
    reporter: int = _number()
    reason: str
    reported: int = _number()

    __table_args__ = (
        sa.Index("report_reporter", "reporter", "chat", "index", unique=True), {"sqlite_autoincrement": True},
    )  # fmt: skip


class PendingNotificationRow(SessionBase, table=True):
    """A packed notice that the account's client has not confirmed. Numbers are never reused."""

    __tablename__ = "kept"

    number: int = Field(sa_column=sa.Column(_ROW_ID, sa.Identity(), primary_key=True))
    account: int = _number(foreign_key="profile.id")
    notice: bytes
    created: int = _number()

    __table_args__ = (sa.Index("kept_account", "account", "number"), {"sqlite_autoincrement": True})


metadata = SessionBase.metadata
profile = metadata.tables["profile"]
chat = metadata.tables["chat"]
member = metadata.tables["member"]
friendship = metadata.tables["friendship"]
friend_request = metadata.tables["friend_request"]
membership_request = metadata.tables["application"]
block = metadata.tables["block"]
ban = metadata.tables["ban"]
silence = metadata.tables["silence"]
link = metadata.tables["link"]
hook = metadata.tables["hook"]
outgoing_hook = metadata.tables["outgoing_hook"]
report = metadata.tables["report"]
pending_notification = metadata.tables["kept"]
request = request_table("request", metadata)
health_table(metadata)
installation_table(metadata)
