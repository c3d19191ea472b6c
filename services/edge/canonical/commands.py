"""The commands. A dialect decodes each frame of a client into one of these types.

Most of them are structs of shared.contract. The commands that are defined here never leave the edge in this form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from services.edge.canonical.irc_commands import (
    ActAsOperator,
    BecomeOperator,
    MonitorNicks,
    ReadStates,
    RelayTags,
    ShowAway,
    ShowModes,
)
from shared.contract.auth import ChangePassword, DeleteAccount, EndLogin, ListLogins, Login, Logout, Refresh, Register
from shared.contract.bots import CreateBot, CreateBotToken, DeleteBot, DeleteBotToken, ListBots
from shared.contract.errors import Failure
from shared.contract.guests import RegisterGuest, RenameGuest
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.made import EndMade, ListMade
from shared.contract.message import ChangeMessage, GetChanges, GetHistory, MarkUnread
from shared.contract.model import Quote, RichSegment
from shared.contract.receipts import FindReaders
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery, SetSecurity
from shared.contract.routes import Forwarded
from shared.contract.search import SearchMessages
from shared.contract.session import SetProfile


class PostMessage(msgspec.Struct, frozen=True, gc=False):
    """Post a message to a chat or, with `to` and chat 0, to the private chat with an account. The reply is the
    committed message. It is sent when all earlier messages of the chat have been delivered here.

    `references_media`: the pictures and files of `segments` have only an `id` and perhaps a new name. The edge looks up
    their other data before it posts the message. `kind_by_content`: whether the content of these files decides which of
    them are shown as pictures. `stored`: the id of the file that was stored for this message. If the message is
    rejected, the file is removed. `nonce`: a name that the client gives the message. The server posts no second message
    with a nonce that the sender has used in the chat. `reply_to`: the index of the message that this message replies
    to, or 0. The edge makes `quote` from it before posting. `draft`: the `rev` of the sender's draft that became this
    message, or else 0. `mark`: data that only the sender's dialect reads, stored with the message (see
    DisplayMessage.dialect).
    """

    chat: ChatId
    segments: tuple[RichSegment, ...]
    to: AccountId = NO_ACCOUNT
    references_media: bool = False
    kind_by_content: bool = False
    stored: str = ""
    nonce: str = ""
    reply_to: int = 0
    quote: Quote | None = None
    draft: int = 0
    mark: str = ""


class EditMessage(msgspec.Struct, frozen=True):
    """Replace the content of a message that the account has sent. `references_media` and `nonce` are as in PostMessage.
    `if_rev`: edit only if the text has not changed after this `rev` of the chat."""

    chat: ChatId
    index: int
    segments: tuple[RichSegment, ...]
    nonce: str
    references_media: bool = False
    if_rev: int | None = None


class ForwardMessage(msgspec.Struct, frozen=True):
    """Post the content of a message to other chats. `nonce` names this command, as the nonce of PostMessage names a
    message."""

    chat: ChatId
    index: int
    into: tuple[ChatId, ...]
    nonce: str


@dataclass(frozen=True, slots=True)
class StartUpload:
    """Announce a file that comes in parts, for a chat or an account as in PostMessage. The reply reports errors that
    can be detected now. The dialect chooses `number`. `data`: the first part, if the announcing frame has it.
    `replaces`: the number of an unfinished upload that the client has given up for this one."""

    number: int
    chat: ChatId
    to: AccountId = NO_ACCOUNT
    data: bytes = field(default=b"", repr=False)
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A part of an announced file. The last part is a PostUpload instead."""

    number: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PostUpload:
    """Post a file. `data` is its last part or, if `number` is None, the whole file. The file is stored, and then the
    message is posted. The reply is the same as for PostMessage. A new name replaces an empty `name`. `packages`: see
    Media."""

    number: int | None
    data: bytes = field(repr=False)
    chat: ChatId
    kind: Literal["image", "file"]
    to: AccountId = NO_ACCOUNT
    name: str = ""
    packages: int = 0


class DropUpload(msgspec.Struct, frozen=True):
    """The client's frames do not match the announcement of its upload. The edge discards the parts, and replies with
    this failure."""

    number: int
    failure: Failure


MessageCommand = PostMessage | PostUpload
"""The commands that post a message."""

UploadCommand = StartUpload | UploadPart | PostUpload | DropUpload
"""The commands of an upload. When one of these commands is answered with an error, the upload ends, in the dialect and
in the edge."""


class CreateChatByUuid(msgspec.Struct, frozen=True):
    """Create a group, which anyone may join, with these accounts as members. With `private`, find or create the private
    chat with the only account of the list."""

    uuids: tuple[str, ...]
    name: str
    private: bool


class FindUsers(msgspec.Struct, frozen=True):
    """Return the profiles of the accounts whose OC number, username or e-mail address is exactly `query`."""

    query: str


class ShowProfiles(msgspec.Struct, frozen=True):
    """Return the profiles of these accounts. Accounts that do not exist are left out of the reply."""

    accounts: tuple[AccountId, ...]


class FetchUnread(msgspec.Struct, frozen=True):
    """Fetch the undelivered messages of all chats, oldest first, at most `count` (None: all). Fetched messages then
    count as delivered."""

    count: int | None


class CountUnread(msgspec.Struct, frozen=True):
    """Return the number of unread messages of each chat, and how many of these messages mention the account."""


class ReadHistory(msgspec.Struct, frozen=True):
    """Return a page of messages as in GetHistory, with the reactions to them. The messages stay unread. The reply
    contains the chat's last index."""

    chat: ChatId
    start: int
    count: int
    older: bool
    around: int = 0
    at: int = 0


class ResumeChats(msgspec.Struct, frozen=True):
    """Return the messages and changes that the client lacks in its chats, as described in
    shared.contract.resume.Resume. `epoch`: the epoch under which the client stored its messages. If the epoch has
    changed since, the client must discard its messages."""

    epoch: str
    have: dict[ChatId, int]
    window: int
    timeline: int
    before: tuple[int, int] | None = None
    revs: dict[ChatId, int] = {}
    states: dict[ChatId, int] = {}
    among: tuple[int, int] | None = None
    lists: dict[str, int] = {}
    """The lists that the client wants, each with the state that the client has of it. See
    shared.contract.own_lists.GetOwnLists."""


class MarkChatRead(msgspec.Struct, frozen=True):
    """Mark the committed messages of a chat up to this index as read. `counts`: whether the client wants the number of
    messages that remain unread."""

    chat: ChatId
    index: int
    counts: bool = True


class AnnounceTyping(msgspec.Struct, frozen=True):
    """Show the other members of a chat that the account is writing a message (`on`) or has stopped."""

    chat: ChatId
    on: bool


class WatchAccounts(msgspec.Struct, frozen=True):
    """Show the connection the presence of these accounts from now on, and of no others."""

    accounts: tuple[AccountId, ...]


class GiveState(msgspec.Struct, frozen=True):
    """Set the account's state while the connection lasts: active, away, busy or hidden, and an optional text."""

    state: str
    text: str = ""


class UpdateAccount(msgspec.Struct, frozen=True):
    """Change the account's profile, then its security question. Some dialects change both in one frame."""

    profile: SetProfile
    security: SetSecurity


class GetServerStatus(msgspec.Struct, frozen=True):
    """Query whether the server is in maintenance. Needs no login."""


class RenewToken(msgspec.Struct, frozen=True):
    """Use the token of this request, which the edge has verified. The token logs the connection in, or replaces the
    token of the connection's login."""


class ExportAccount(msgspec.Struct, frozen=True):
    """Return all stored data of the account, except messages."""


class ExportMessages(msgspec.Struct, frozen=True):
    """Return a page of the messages that the account has sent to a chat, after an index."""

    chat: ChatId
    after: int = 0


class RequestVerification(msgspec.Struct, frozen=True):
    """Mail the link for the pending verification of this connection. Needs no login."""


AuthCommand = (
    Register
    | Login
    | RegisterGuest
    | RenameGuest
    | RequestVerification
    | GetServerStatus
    | RenewToken
    | Refresh
    | Recover
    | RequestRecovery
    | RecoverByTicket
    | DeleteAccount
    | Logout
    | ListLogins
    | EndLogin
    | ChangePassword
    | CreateBot
    | ListBots
    | DeleteBot
    | CreateBotToken
    | DeleteBotToken
    | ListMade
    | EndMade
)
"""Commands about the logins of an account, and about its webhooks, links and bot tokens."""

EdgeCommand = (
    AuthCommand
    | PostMessage
    | UploadCommand
    | GetHistory
    | FetchUnread
    | ReadHistory
    | ResumeChats
    | CountUnread
    | MarkChatRead
    | MarkUnread
    | GetChanges
    | SearchMessages
    | FindReaders
    | EditMessage
    | ChangeMessage
    | ForwardMessage
    | CreateChatByUuid
    | FindUsers
    | ShowProfiles
    | UpdateAccount
    | AnnounceTyping
    | WatchAccounts
    | GiveState
    | ReadStates
    | RelayTags
    | MonitorNicks
    | ShowAway
    | ShowModes
    | BecomeOperator
    | ActAsOperator
    | ExportAccount
    | ExportMessages
)
"""The commands that the edge itself handles."""
Command = EdgeCommand | Forwarded

_READING = (
    GetServerStatus, FindUsers, ShowProfiles, FetchUnread, ReadHistory, ResumeChats, CountUnread, ExportAccount,
    ExportMessages,    AnnounceTyping, WatchAccounts, GiveState, ReadStates, RelayTags,
    MonitorNicks, ShowModes, RenewToken, RequestVerification,
)  # fmt: skip


def has_effect(command: Command) -> bool:
    """Whether the command has a lasting effect. If such a command is not answered in time, the client cannot know
    whether it took effect."""
    route = getattr(command, "route", None)
    return not isinstance(command, _READING) if route is None else not route.reads


_EPHEMERAL = AnnounceTyping | WatchAccounts | GiveState
_MESSAGE_READS = ReadHistory | GetHistory | GetChanges | SearchMessages


def may_be_overtaken(command: Command) -> bool:
    """Whether the command only reads, so that later commands may be answered before it."""
    return not (has_effect(command) or isinstance(command, AuthCommand | _EPHEMERAL))


def holds_back(read: Command, command: Command) -> bool:
    """Whether a command that is not a message waits until an earlier read is answered. If the command did not wait, the
    reply to the read could contradict the reply to the command. Messages and their changes need not wait, because
    `index` and `rev` give their order. A command need not wait for a search either, because the search index is always
    a moment behind. A login command waits for all earlier reads."""
    return not isinstance(read, _MESSAGE_READS) or isinstance(command, AuthCommand)


_RELEASED_LABELS: Mapping[type, str] = {CreateChatByUuid: "CreateChatOf", FetchUnread: "TakeUnread"}


BEFORE_LOGIN = (
    Register, RegisterGuest, Login, Refresh, Recover, RequestRecovery, RecoverByTicket, RequestVerification,
    GetServerStatus,
)  # fmt: skip
"""A connection without a login may send only these commands."""


def metric_label(command: Command) -> str:
    """The value that metrics use as the label of a command. It is the name that the command's class had at its first
    release."""
    return _RELEASED_LABELS.get(type(command)) or type(command).__name__
