"""Commands: the closed union that a dialect decodes a client's frames into.

Most are structs of the contract; those defined here never leave the edge in this form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from shared.contract.auth import ChangePassword, DeleteAccount, EndLogin, ListLogins, Login, Logout, Refresh, Register
from shared.contract.bots import CreateBot, CreateBotToken, DeleteBot, DeleteBotToken, ListBots
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.made import EndMade, ListMade
from shared.contract.message import ChangeMessage, GetChanges, GetHistory
from shared.contract.model import Quote, RichSegment
from shared.contract.receipts import FindReactors, FindReaders
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery, SetSecurity
from shared.contract.routes import Forwarded
from shared.contract.search import SearchMessages
from shared.contract.session import SetProfile


class PostMessage(msgspec.Struct, frozen=True, gc=False):
    """Post a message to a chat, or (`to`, with chat 0) to the private chat with an account. The reply is the committed
    message, given when the chat's order reaches it. `references_media`: its pictures and files have only an `id`, and
    perhaps a new name; the rest is looked up before it is posted. `stored`: id of the file that was stored for this
    message, and is removed if the message is rejected. `nonce`: the client's own name of the message; a message with a
    nonce that its sender has used in the chat before is not posted again. `reply_to`: the index of the message that it
    replies to, or 0; `quote` is made of it before it is posted."""

    chat: ChatId
    segments: tuple[RichSegment, ...]
    to: AccountId = NO_ACCOUNT
    references_media: bool = False
    stored: str = ""
    nonce: str = ""
    reply_to: int = 0
    quote: Quote | None = None


@dataclass(frozen=True, slots=True)
class EditMessage:
    """Replace the content of an own message. `references_media`, `nonce` as in PostMessage. `if_rev`: only if the text
    has not changed after this `rev` of the chat."""

    chat: ChatId
    index: int
    segments: tuple[RichSegment, ...]
    nonce: str
    references_media: bool = False
    if_rev: int | None = None


@dataclass(frozen=True, slots=True)
class ForwardMessage:
    """Post the content of a message to other chats. `nonce`: names the command, as that of PostMessage a message."""

    chat: ChatId
    index: int
    into: tuple[ChatId, ...]
    nonce: str


@dataclass(frozen=True, slots=True)
class StartUpload:
    """Announce a file that comes in parts, for a chat or an account as in PostMessage. Errors that can be detected now
    are returned now. `number` is chosen by the dialect. `data`: the first part, if the announcing frame has it.
    `replaces`: the number of an unfinished upload that the client has given up for this one."""

    number: int
    chat: ChatId
    to: AccountId = NO_ACCOUNT
    data: bytes = field(default=b"", repr=False)
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A part of the file before the last."""

    number: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PostUpload:
    """The last part of a file, or (`number` None) all of it: the file is stored, then posted. The reply is that of
    PostMessage. An empty `name` is replaced by a new one. `packages`: see Media."""

    number: int | None
    data: bytes = field(repr=False)
    chat: ChatId
    kind: Literal["image", "file"]
    to: AccountId = NO_ACCOUNT
    name: str = ""
    packages: int = 0


@dataclass(frozen=True, slots=True)
class DropUpload:
    """The client deviated from its announcement: its parts are discarded, and the reply is this failure."""

    number: int
    failure: Failure


MessageCommand = PostMessage | PostUpload
"""Commands that post a message."""

UploadCommand = StartUpload | UploadPart | PostUpload | DropUpload
"""An error reply to one of these ends its upload, in the dialect and behind it."""


@dataclass(frozen=True, slots=True)
class CreateChatByUuid:
    """Create a group of the accounts with these uuids that anyone may join, or (`private`) find or create the private
    chat with the only one."""

    uuids: tuple[str, ...]
    name: str
    private: bool


@dataclass(frozen=True, slots=True)
class FindUsers:
    """The profiles of the accounts whose OC number, username or e-mail address is exactly `query`."""

    query: str


@dataclass(frozen=True, slots=True)
class FetchUnread:
    """Fetch the undelivered messages of all chats, oldest first, `count` at most (None: all), which delivers them."""

    count: int | None


@dataclass(frozen=True, slots=True)
class CountUnread:
    """The number of unread messages of each chat, and of those that mention the account."""


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """A page of messages as in GetHistory, with the reactions to them. They stay unread, and the reply holds the chat's
    last index."""

    chat: ChatId
    start: int
    count: int
    older: bool


@dataclass(frozen=True, slots=True)
class ResumeChats:
    """The chats of which the client lacks something, as in shared.contract.resume.Resume. `epoch`: the one under which
    the client has its messages; if it has changed, the client has none."""

    epoch: str
    have: dict[ChatId, int]
    window: int
    timeline: int
    before: tuple[int, int] | None = None
    revs: dict[ChatId, int] = field(default_factory=dict)
    states: dict[ChatId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MarkChatRead:
    """Mark the messages of a chat up to this index as read, at most the committed ones. `counts`: whether the client
    wants the number of those that are left."""

    chat: ChatId
    index: int
    counts: bool = True


@dataclass(frozen=True, slots=True)
class AnnounceTyping:
    """Show the other members of a chat that the account writes a message (`on`), or has stopped."""

    chat: ChatId
    on: bool


@dataclass(frozen=True, slots=True)
class WatchAccounts:
    """Show the connection the presence of these accounts from now on, and of no others."""

    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class GiveState:
    """The account's state while the connection lasts: active, away, busy or hidden; perhaps a text beside it."""

    state: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class UpdateAccount:
    """Change the account's profile, then its security question, which some dialects combine in one frame."""

    profile: SetProfile
    security: SetSecurity


@dataclass(frozen=True, slots=True)
class GetServerStatus:
    """Query maintenance mode. Needs no login."""


@dataclass(frozen=True, slots=True)
class RenewToken:
    """The token of this request is verified: it logs in, or replaces the token of the connection's login."""


@dataclass(frozen=True, slots=True)
class ExportAccount:
    """All that is stored of the account, but for messages."""


@dataclass(frozen=True, slots=True)
class ExportMessages:
    """A page of the messages that the account has sent to a chat, after an index."""

    chat: ChatId
    after: int = 0


@dataclass(frozen=True, slots=True)
class RequestVerification:
    """Mail the link for the pending verification of this connection. Needs no login."""


AuthCommand = (
    Register
    | Login
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
"""About the logins of an account, and about what it has made."""

ReadingCommand = (
    GetHistory
    | FetchUnread
    | ReadHistory
    | ResumeChats
    | CountUnread
    | MarkChatRead
    | GetChanges
    | SearchMessages
    | FindReaders
    | FindReactors
)
"""About messages that there are."""

EdgeCommand = (
    AuthCommand
    | PostMessage
    | UploadCommand
    | ReadingCommand
    | EditMessage
    | ChangeMessage
    | ForwardMessage
    | CreateChatByUuid
    | FindUsers
    | UpdateAccount
    | AnnounceTyping
    | WatchAccounts
    | GiveState
    | ExportAccount
    | ExportMessages
)
"""Of these the edge has a handler."""
Command = EdgeCommand | Forwarded

_READING = (
    GetServerStatus, FindUsers, FetchUnread, ReadHistory, ResumeChats, CountUnread, ExportAccount, ExportMessages,
    AnnounceTyping, WatchAccounts, GiveState, RenewToken, RequestVerification,
)  # fmt: skip


def has_effect(command: Command) -> bool:
    """Whether it has a lasting effect: it is unknown whether it had, if it is not answered in time."""
    route = getattr(command, "route", None)
    return not isinstance(command, _READING) if route is None else not route.reads


_RELEASED_LABELS: Mapping[type, str] = {CreateChatByUuid: "CreateChatOf", FetchUnread: "TakeUnread"}


BEFORE_LOGIN = (
    Register, Login, Refresh, Recover, RequestRecovery, RecoverByTicket, RequestVerification, GetServerStatus,
)  # fmt: skip
"""All other commands are rejected on a connection without a login."""


def metric_label(command: Command) -> str:
    """The label value of a command in metrics: its class name at the first release."""
    return _RELEASED_LABELS.get(type(command)) or type(command).__name__
