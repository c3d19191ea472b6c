"""Session's tables: profiles, settings of accounts, chats, members, friendships, pending requests, blocked accounts,
bans, silences and links of groups, webhooks, reports to the operator, pending notifications, and devices that are
notified.

Times are Unix milliseconds. `private_updated` and the other times of change only grow, also within one millisecond. A
transaction that changes the membership of a chat locks the chat's row, and changes its `version`, `size` and `seats`.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import Field

from services.session.domain import LOBBY
from services.session.tables.push import ROW_ID, SessionBase, int64
from shared.contract.model import Role
from shared.database import health_table
from shared.identity import installation_table
from shared.run_once import request_table
from shared.sql import partial_index

_IS_MEMBER = sa.text(f"role > {Role.LEFT:d}")
_IS_ADMIN = sa.text(f"role > {Role.MEMBER:d}")
_SPEAKS = sa.text("speaker")
_IS_JOINING = sa.text(f"role > {Role.LEFT:d} AND unread_from IS NULL")


class ascii_lower(FunctionElement[str]):
    """A name whose ASCII letters are lower-case, as SQLite's lower() makes it. PostgreSQL's lower() is not used,
    because it changes all letters of a locale."""

    inherit_cache = True
    type = sa.String()


@compiles(ascii_lower)
def _lower(element: ascii_lower, compiler: Any, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(ascii_lower, "postgresql")
def _lower_in_c(element: ascii_lower, compiler: Any, **options: Any) -> str:
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "C")'


def _unique_name(index: str, column: str) -> sa.Index:
    """An index of unique names. Names that differ only in the case of ASCII letters count as the same name. Empty names
    are not in the index."""
    named = sa.text(f"{column} <> ''")
    folded = ascii_lower(sa.literal_column(column))
    return partial_index(index, folded, unique=True, where=named)


class ProfileRow(SessionBase, table=True):
    """`uuid` is not unique, because auth may reuse a deleted account's uuid before this service receives the
    deletion."""

    __tablename__ = "profile"
    id: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    uuid: str = Field(index=True)
    nickname: str
    avatar: str
    avatar_hash: str
    icon_id: int = int64()
    signature: str
    vip: int = int64()
    status: int = int64()
    created: int = int64()
    public_updated: int = int64()
    private_updated: int = int64()
    deleted: bool
    bot: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    nick: str = Field(sa_column_kwargs={"server_default": ""})
    guest: str = Field(sa_column_kwargs={"server_default": ""})

    __table_args__ = (_unique_name("profile_nick", "nick"),)


class ChatRow(SessionBase, table=True):
    """`size`: the number of current members. `seats`: the number of all members, past ones included. `owner`: 0 if
    there is no owner. `receipts`: members see which messages the other members have read. `edit_seconds`,
    `recall_seconds`, `history_for_new`: see Chat. `default_name`: a name made of nicknames, until a member gives the
    group another name. `handle`, `modes`, `join_key`, `most_members`, `ownerless`: see Chat. `pair`: the two members of
    a private or announcement chat ("1:2", the lower id first); unique, so a pair has one chat."""

    __tablename__ = "chat"
    id: int = Field(sa_column=sa.Column(ROW_ID, sa.Identity(start=LOBBY + 1), primary_key=True))
    kind: str
    name: str
    owner: int = int64()
    join_policy: str
    avatar: str
    avatar_hash: str
    created: int = int64()
    updated: int = int64()
    version: int = int64()
    size: int = int64()
    seats: int = int64()
    pair: str | None = Field(unique=True)
    receipts: bool = Field(sa_column_kwargs={"server_default": sa.true()})
    topic: str = Field(sa_column_kwargs={"server_default": ""})
    topic_by: int = int64(sa_column_kwargs={"server_default": "0"})
    topic_time: int = int64(sa_column_kwargs={"server_default": "0"})
    edit_seconds: int | None = Field(sa_type=sa.BigInteger)
    recall_seconds: int | None = Field(sa_type=sa.BigInteger)
    history_for_new: bool | None = None
    default_name: str | None = None
    handle: str = Field(sa_column_kwargs={"server_default": ""})
    ownerless: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    modes: str = Field(sa_column_kwargs={"server_default": "nt"})
    join_key: str = Field(sa_column_kwargs={"server_default": ""})
    most_members: int = Field(sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "0"})

    __table_args__ = (_unique_name("chat_handle", "handle"),)


class MemberRow(SessionBase, table=True):
    """`version`: the chat's version at the last change of this row. Rows with role LEFT remain, so that readers of
    changes receive the departure. `seat`: the order of joining. `unread_from` is NULL until the join is finished; until
    then `first_index` is an estimate. For `muted_until` and the fields below it, see MemberSettings."""

    __tablename__ = "member"
    chat: int = int64(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = int64(primary_key=True, foreign_key="profile.id")
    role: int = Field(sa_type=sa.SmallInteger)
    seat: int = int64()
    first_index: int = int64()
    unread_from: int | None = Field(sa_type=sa.BigInteger)
    version: int = int64()
    muted_until: int = int64(sa_column_kwargs={"server_default": "0"})
    mentions_only: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    pinned: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    archived: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    speaker: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    read_time: int = int64(sa_column_kwargs={"server_default": "0"})
    hidden: int = int64(sa_column_kwargs={"server_default": "0"})

    __table_args__ = (
        sa.Index("member_account", "account", "chat"),
        sa.Index("member_change", "chat", "version", "account"),
        partial_index("member_seat", "chat", "seat", where=_IS_MEMBER),
        partial_index("member_host", "chat", "seat", where=_IS_ADMIN),
        partial_index("member_joining", "account", where=_IS_JOINING),
        partial_index("member_speaker", "chat", where=_SPEAKS),
        {"sqlite_with_rowid": False},
    )


class FriendshipRow(SessionBase, table=True):
    """Two rows for each friendship, one per direction."""

    __tablename__ = "friendship"
    account: int = int64(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    friend: int = int64(primary_key=True, foreign_key="profile.id")
    created: int = int64()

    __table_args__ = ({"sqlite_with_rowid": False},)


class FriendRequestRow(SessionBase, table=True):
    """A friend request that `account` has not answered. Two accounts never have requests to each other at the same
    time, because the second request makes them friends."""

    __tablename__ = "friend_request"
    applicant: int = int64(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    account: int = int64(primary_key=True, foreign_key="profile.id")
    text: str
    created: int = int64()

    __table_args__ = (
        sa.Index("friend_request_account", "account", "created", "applicant"),
        {"sqlite_with_rowid": False},
    )


class MembershipRequestRow(SessionBase, table=True):
    """A request to join a group that neither its owner nor an admin has answered."""

    __tablename__ = "application"
    chat: int = int64(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    applicant: int = int64(primary_key=True, foreign_key="profile.id")
    text: str
    created: int = int64()

    __table_args__ = (sa.Index("application_applicant", "applicant"), {"sqlite_with_rowid": False})


class BlockRow(SessionBase, table=True):
    """`account` rejects private messages and friend requests of `blocked`."""

    __tablename__ = "block"
    account: int = int64(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    blocked: int = int64(primary_key=True, foreign_key="profile.id")
    created: int = int64()

    __table_args__ = (sa.Index("block_blocked", "blocked"), {"sqlite_with_rowid": False})


class OwnSettingsRow(SessionBase, table=True):
    """The settings of an account; see OwnSettings."""

    __tablename__ = "own_settings"
    account: int = int64(primary_key=True, foreign_key="profile.id", sa_column_kwargs={"autoincrement": False})
    rev: int = int64()
    language: str
    quiet_zone: str
    quiet_from: str
    quiet_to: str
    until: int = int64()
    level: str


class BanRow(SessionBase, table=True):
    """`account` cannot join the group before `until`."""

    __tablename__ = "ban"
    chat: int = int64(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = int64(primary_key=True, foreign_key="profile.id")
    until: int = int64()
    by: int = int64()

    __table_args__ = (sa.Index("ban_account", "account"), {"sqlite_with_rowid": False})


class SilenceRow(SessionBase, table=True):
    """`account` may not post to the group before `until`. If `account` is 0, nobody except the owner and the admins may
    post."""

    __tablename__ = "silence"
    chat: int = int64(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = int64(primary_key=True)
    until: int = int64()

    __table_args__ = (sa.Index("silence_account", "account"), {"sqlite_with_rowid": False})


class MaskRow(SessionBase, table=True):
    """A mask of names, `nick!user@host`, or `a:` and an account's name. `kind`: A user who matches a mask of kind `b`
    may not join or post; with the prefix `m:`, the user may join but not post. A mask of kind `e` exempts users from
    this. A mask of kind `I` lets users join without an invitation. `by`: the name of the account that has set the
    mask."""

    __tablename__ = "mask"
    chat: int = int64(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    kind: str = Field(primary_key=True)
    mask: str = Field(primary_key=True)
    by: str
    created: int = int64()


class MetadataRow(SessionBase, table=True):
    """A text of the group `chat` or, if `chat` is 0, of the account; see MetadataValue."""

    __tablename__ = "metadata_value"
    account: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    chat: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    key: str = Field(primary_key=True)
    value: str


class HappeningRow(SessionBase, table=True):
    """A join, a departure or another change in a group; see Happening. If modes have changed, `text` has the changes as
    JSON."""

    __tablename__ = "happening"
    chat: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    time: int = int64(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: str
    by: int = int64()
    account: int = int64()
    text: str

    __table_args__ = (sa.Index("happening_time", "time"),)


class InvitationRow(SessionBase, table=True):
    """`account` may join the group once before `until`, even if other rules forbid it."""

    __tablename__ = "invitation"
    chat: int = int64(primary_key=True, foreign_key="chat.id", sa_column_kwargs={"autoincrement": False})
    account: int = int64(primary_key=True)
    until: int = int64()

    __table_args__ = (sa.Index("invitation_account", "account"),)


class LinkRow(SessionBase, table=True):
    """A link to a group, by which `uses` accounts (NULL: any number) can join before `expires`."""

    __tablename__ = "link"
    link: str = Field(primary_key=True)
    chat: int = int64(foreign_key="chat.id")
    by: int = int64()
    uses: int | None = Field(sa_type=sa.BigInteger)
    expires: int = int64()
    created: int = int64()

    __table_args__ = (sa.Index("link_chat", "chat", "created"),)


class IncomingWebhookRow(SessionBase, table=True):
    """A program that has the secret with this digest posts to the group as `account`, with the permissions of `by`.
    `hook` names the webhook and is no secret. `account` is never NULL."""

    __tablename__ = "hook"
    hook: str = Field(primary_key=True)
    digest: str
    chat: int = int64(foreign_key="chat.id")
    by: int = int64()
    name: str
    created: int = int64()
    account: int | None = Field(sa_type=sa.BigInteger)

    __table_args__ = (
        sa.Index("hook_digest", "digest", unique=True),
        sa.Index("hook_chat", "chat", "created"),
        sa.Index("hook_by", "by"),
    )


class OutgoingWebhookRow(SessionBase, table=True):
    """Posts the messages of the group from index `next` on to `endpoint`, signed by `secret`. `known`: the last index
    of the chat that the session service knows. `due`: the time of the next attempt. `attempts`: the number of failed
    attempts since `failing_since`, which is 0 if none has failed. It is later by the time in which an attempt was due
    but not made. `stopped`: no more attempts follow. The turn that holds `lease` posts until `leased_until`. `slow`:
    the last turn was slow."""

    __tablename__ = "outgoing_hook"
    hook: str = Field(primary_key=True)
    chat: int = int64(foreign_key="chat.id")
    by: int = int64()
    name: str
    endpoint: str
    secret: str
    created: int = int64()
    next: int = int64()
    known: int = int64()
    due: int = int64()
    attempts: int
    failing_since: int = int64()
    error: str
    stopped: bool
    lease: str
    leased_until: int = int64()
    slow: bool = Field(sa_column_kwargs={"server_default": sa.false()})

    __table_args__ = (sa.Index("outgoing_hook_chat", "chat", "created"), sa.Index("outgoing_hook_by", "by"))


class ReportRow(SessionBase, table=True):
    """A message in its state at the time when `reporter` reported it to the operator. Numbers are never reused."""

    __tablename__ = "report"
    number: int = Field(sa_column=sa.Column(ROW_ID, sa.Identity(), primary_key=True))
    chat: int = int64()
    index: int = int64()
    sender: int = int64()
    sent: int = int64()
    body: bytes
    reporter: int = int64()
    reason: str
    reported: int = int64()

    __table_args__ = (
        sa.Index("report_reporter", "reporter", "chat", "index", unique=True), {"sqlite_autoincrement": True},
    )  # fmt: skip


class PendingNotificationRow(SessionBase, table=True):
    """A packed event that the account's client has not confirmed. Numbers are never reused."""

    __tablename__ = "kept"
    number: int = Field(sa_column=sa.Column(ROW_ID, sa.Identity(), primary_key=True))
    account: int = int64(foreign_key="profile.id")
    notice: bytes
    created: int = int64()

    __table_args__ = (sa.Index("kept_account", "account", "number"), {"sqlite_autoincrement": True})


metadata = SessionBase.metadata
profile = metadata.tables["profile"]
chat = metadata.tables["chat"]
member = metadata.tables["member"]
friendship = metadata.tables["friendship"]
friend_request = metadata.tables["friend_request"]
membership_request = metadata.tables["application"]
block = metadata.tables["block"]
own_settings = metadata.tables["own_settings"]
ban = metadata.tables["ban"]
silence = metadata.tables["silence"]
mask = metadata.tables["mask"]
metadata_value = metadata.tables["metadata_value"]
happening = metadata.tables["happening"]
invitation = metadata.tables["invitation"]
link = metadata.tables["link"]
incoming_webhook = metadata.tables["hook"]
outgoing_webhook = metadata.tables["outgoing_hook"]
report = metadata.tables["report"]
pending_notification = metadata.tables["kept"]
request = request_table("request", metadata)
health_table(metadata)
installation_table(metadata)
