"""Replies: the results that a dialect encodes as the answer to a command."""

from dataclasses import dataclass

import msgspec

from services.edge.canonical.frames import Outgoing
from shared.contract.admin import OwnReports
from shared.contract.auth import Authenticated, VerificationNeeded
from shared.contract.bots import BotView
from shared.contract.contacts import BlockedAccounts, Requests
from shared.contract.ephemeral import PresenceChanged
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import AccountRecord, Made
from shared.contract.message import MessageChange, Posted, Reactions, Unread
from shared.contract.model import Chat, Message, Profile, ProfileSummary, RichSegment, Role, Segment
from shared.contract.resume import ResumedChat
from shared.contract.routes import Ack
from shared.contract.search import SearchPage
from shared.contract.session import AccountView, ChatView, ChatViews, Mute


@dataclass(frozen=True, slots=True)
class ServerStatus:
    maintenance: bool


@dataclass(frozen=True, slots=True)
class NoPendingVerification:
    """No verification is pending on this connection."""


@dataclass(frozen=True, slots=True)
class VerificationMailed:
    """The link was mailed; a VerificationEnded event reports the result."""


class DisplayMessage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message to encode. `summary`: of its sender, for dialects that name senders. `to`: the other member of a
    private chat (NO_ACCOUNT once deleted), None in a group. `dialect`: the sender's, if that dialect tags its
    messages. `edited`: the segments are not those that were sent. `reactions`: to it, if they were requested.
    `segments` are for dialects that know neither replies nor mentions: they begin with a quote, and have mentions as
    texts. `rich`: those of a message with either; `reply_to`: the index of the message that it replies to, or 0."""

    message: Message
    segments: tuple[Segment, ...]
    summary: ProfileSummary | None = None
    to: AccountId | None = None
    dialect: str = ""
    edited: bool = False
    reactions: Reactions | None = None
    rich: tuple[RichSegment, ...] | None = None
    reply_to: int = 0


class DisplayChange(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A change of a message. `segments`: of an edited one."""

    change: MessageChange
    segments: tuple[RichSegment, ...] = ()


@dataclass(frozen=True, slots=True)
class MessagePage:
    """The reply to GetHistory or FetchUnread, with the senders' profile summaries."""

    messages: tuple[DisplayMessage, ...]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The reply to ReadHistory. `head`: the chat's last index. `more`: there are messages after the last one, in the
    direction of the page. `rev`: the messages are as they were after this change."""

    messages: tuple[DisplayMessage, ...]
    head: int
    more: bool
    rev: int = 0


@dataclass(frozen=True, slots=True)
class MessagesFound:
    """The reply to SearchMessages. `around`: as they are shown."""

    page: SearchPage
    around: tuple[DisplayMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatMarkedRead:
    """The reply to MarkChatRead, of the state that it leaves: another connection may have read more. `unread`: the
    messages of others that are left, and those of them that mention the account; None if message was not requested.
    `index`: everything up to it is read; None likewise."""

    unread: tuple[int, int] | None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """The reply to GetChanges; see shared.contract.message.ChangePage."""

    changes: tuple[DisplayChange, ...]
    rev: int
    more: bool


@dataclass(frozen=True, slots=True)
class ChatToResume:
    """A chat, its place in the message service, and the messages and changes that the client lacks. `mute`, `role`: the
    account's. `other`: the other member of a chat that is no group, if it is known."""

    chat: Chat
    state: ResumedChat
    messages: tuple[DisplayMessage, ...]
    changes: tuple[DisplayChange, ...] = ()
    mute: Mute | None = None
    other: ProfileSummary | None = None
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class ChatsResumed:
    """The reply to ResumeChats. `reset`: the client's messages do not count any more. `gone`, `away` as in Resumed;
    `before`: where the next page begins, None after the last one."""

    epoch: str
    reset: bool
    chats: tuple[ChatToResume, ...]
    gone: tuple[ChatId, ...]
    away: tuple[ChatId, ...]
    before: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class UsersFound:
    profiles: tuple[Profile, ...]


@dataclass(frozen=True, slots=True)
class ForwardedMessage:
    """The result of one chat: where the message is, or why it is not there."""

    chat: ChatId
    posted: Posted | None = None
    again: bool = False
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class MessagesForwarded:
    results: tuple[ForwardedMessage, ...]


@dataclass(frozen=True, slots=True)
class PresenceShown:
    """The reply to WatchAccounts, for each account."""

    presence: tuple[PresenceChanged, ...]


@dataclass(frozen=True, slots=True)
class TokenRenewed:
    """The token is valid. `expires`: Unix seconds."""

    account: AccountId
    sid: str
    expires: int


@dataclass(frozen=True, slots=True)
class AccountExported:
    """`exported`: Unix milliseconds."""

    exported: int
    record: AccountRecord
    view: AccountView
    requests: Requests
    blocked: BlockedAccounts
    reports: OwnReports
    made: Made


@dataclass(frozen=True, slots=True)
class AccountMade:
    """The reply to ListMade. `bots`: with their valid tokens."""

    bots: tuple[BotView, ...]
    made: Made


@dataclass(frozen=True, slots=True)
class MadeCounts:
    """What an account has made, and what acts without a login."""

    hooks: int
    outgoing_hooks: int
    links: int
    bot_tokens: int


@dataclass(frozen=True, slots=True)
class PasswordChanged:
    """`made`: None if it is not known."""

    login: Authenticated
    made: MadeCounts | None


class AccountRecovered(Ack, frozen=True):
    """`made` as in PasswordChanged."""

    made: MadeCounts | None = None


@dataclass(frozen=True, slots=True)
class MessagesExported:
    """`after`: the last index that this page has considered, for the next one. `more`: there is one."""

    messages: tuple[DisplayMessage, ...]
    after: int
    more: bool


class MessageAccepted(msgspec.Struct, frozen=True, gc=False):
    """The reply to a MessageCommand. `frames`: the message as `encode_message` encoded it for this connection's
    variant, if its dialect echoes messages; else empty. `again`: its nonce was known: an earlier request has posted
    it."""

    message: Message
    frames: "tuple[Outgoing, ...]"
    again: bool = False


Reply = (
    Authenticated
    | VerificationNeeded
    | NoPendingVerification
    | VerificationMailed
    | ServerStatus
    | MessageAccepted
    | MessagePage
    | TokenRenewed
    | HistoryPage
    | MessagesFound
    | ChatMarkedRead
    | ChatsResumed
    | ChangesPage
    | Unread
    | UsersFound
    | PresenceShown
    | MessagesForwarded
    | AccountExported
    | AccountMade
    | AccountRecovered
    | PasswordChanged
    | MessagesExported
    | ChatViews
    | AccountView
    | ChatView
    | Ack
    | msgspec.Struct
)
"""Made by the edge, or a service's reply, as it is in the request's route."""
