"""The replies: results that a dialect encodes as the answer to a command."""

from collections.abc import Callable

import msgspec

from services.edge.canonical.frames import Outgoing
from shared.contract.admin import OwnReports
from shared.contract.auth import Authenticated
from shared.contract.bots import BotView
from shared.contract.contacts import BlockedAccounts, Requests
from shared.contract.drafts import SavedDraft
from shared.contract.ephemeral import PresenceChanged
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import AccountRecord, Made
from shared.contract.message import MessageChange, Posted, Reactions
from shared.contract.metadata import MetadataList
from shared.contract.model import Chat, Message, Profile, ProfileSummary, RichSegment, Role, Segment
from shared.contract.own_lists import OwnLists
from shared.contract.own_settings import OwnSettings
from shared.contract.push import SubscriptionList
from shared.contract.resume import ResumedChat
from shared.contract.routes import Ack
from shared.contract.search import SearchPage
from shared.contract.session import AccountView, MemberSettings


class ServerStatus(msgspec.Struct, frozen=True):
    maintenance: bool


class NoPendingVerification(msgspec.Struct, frozen=True):
    """No verification is pending on this connection."""


class VerificationMailed(msgspec.Struct, frozen=True):
    """The link was mailed. A VerificationEnded event will report the result."""


class DisplayMessage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message to encode. `summary`: the sender's profile summary, for dialects that name senders. `to`: the other
    member of a private chat, NO_ACCOUNT after that account is deleted, and None in a group. `dialect`: the sender's
    dialect, if that dialect tags its messages. `edited`: whether the sender has changed the segments since.
    `reactions`: the reactions to the message, if the client requested them.

    `segments` are for dialects without replies and mentions. In `segments`, a reply begins with a quote, and mentions
    are texts. `rich`: the segments for other dialects, if the message has a reply or a mention. `reply_to`: the index
    of the message that it answers, or 0.
    """

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
    """A change of a message. `segments`: the new content, if the message was edited. `summary`: the profile summary of
    the account that made the change, or None if it is unknown."""

    change: MessageChange
    segments: tuple[RichSegment, ...] = ()
    summary: ProfileSummary | None = None


class MessagePage(msgspec.Struct, frozen=True):
    """The reply to GetHistory or FetchUnread, with the senders' profile summaries."""

    messages: tuple[DisplayMessage, ...]


class HistoryPage(msgspec.Struct, frozen=True):
    """The reply to ReadHistory. `head`: the chat's last index. `more`: whether further messages follow in the direction
    of the page. `rev`: the number of the last change that the messages include. `sides`: for a page around an index,
    whether there are more messages before and after the page. `older`: the direction of any other page."""

    messages: tuple[DisplayMessage, ...]
    head: int
    more: bool
    rev: int = 0
    sides: tuple[bool, bool] | None = None
    older: bool = True


class MessagesFound(msgspec.Struct, frozen=True):
    """The reply to SearchMessages. `around`: see SearchPage."""

    page: SearchPage
    around: tuple[DisplayMessage, ...] = ()


class ChatMarkedRead(msgspec.Struct, frozen=True):
    """The reply to MarkChatRead, with the resulting read state, because another connection may have read more.
    `unread`: how many messages of other users remain unread, and how many of these mention the account. `index`: the
    account has read all messages up to this index. `unread` and `mentions` are None if the message service was not
    queried."""

    unread: tuple[int, int] | None
    index: int | None = None


class ChangesPage(msgspec.Struct, frozen=True):
    """The reply to GetChanges; see shared.contract.message.ChangePage."""

    changes: tuple[DisplayChange, ...]
    rev: int
    more: bool


class ChatToResume(msgspec.Struct, frozen=True):
    """A chat, its state in the message service, and the messages and changes that the client lacks. `mute` and `role`
    belong to the requesting account. `other`: the other member of a private chat, if it is known."""

    chat: Chat
    state: ResumedChat
    messages: tuple[DisplayMessage, ...]
    changes: tuple[DisplayChange, ...] = ()
    mute: MemberSettings | None = None
    other: ProfileSummary | None = None
    role: Role | None = None


_NO_LISTS = OwnLists()


class ChatsResumed(msgspec.Struct, frozen=True):
    """The reply to ResumeChats. `reset`: the client must discard its stored messages. `gone` and `away` are as in
    Resumed. `before`: where the next page begins, or None after the last page. `lists`: the lists that have changed."""

    epoch: str
    reset: bool
    chats: tuple[ChatToResume, ...]
    gone: tuple[ChatId, ...]
    away: tuple[ChatId, ...]
    before: tuple[int, int] | None
    lists: OwnLists = _NO_LISTS


class UsersFound(msgspec.Struct, frozen=True):
    profiles: tuple[Profile, ...]


class ForwardedMessage(msgspec.Struct, frozen=True):
    """The result of forwarding a message to one chat: the place of the forwarded message, or the reason for the
    failure."""

    chat: ChatId
    posted: Posted | None = None
    again: bool = False
    failure: Failure | None = None


class MessagesForwarded(msgspec.Struct, frozen=True):
    results: tuple[ForwardedMessage, ...]


class PresenceShown(msgspec.Struct, frozen=True):
    """The reply to WatchAccounts: the presence of each account."""

    presence: tuple[PresenceChanged, ...]


class TokenRenewed(msgspec.Struct, frozen=True):
    """The token is valid. `expires`: Unix seconds."""

    account: AccountId
    sid: str
    expires: int


class AccountExported(msgspec.Struct, frozen=True):
    """`exported`: the time of the export in Unix milliseconds."""

    exported: int
    record: AccountRecord
    view: AccountView
    requests: Requests
    blocked: BlockedAccounts
    reports: OwnReports
    made: Made
    settings: OwnSettings
    subscriptions: SubscriptionList
    metadata: MetadataList


class AccountMade(msgspec.Struct, frozen=True):
    """The reply to ListMade. `bots`: the account's bots, with their valid tokens."""

    bots: tuple[BotView, ...]
    made: Made


class MadeCounts(msgspec.Struct, frozen=True):
    """The numbers of webhooks, links and bots' tokens that an account has made. All of them work even while the account
    has no login."""

    hooks: int
    outgoing_hooks: int
    links: int
    bot_tokens: int


class PasswordChanged(msgspec.Struct, frozen=True):
    """`made`: counts of the account's webhooks, links and bots, or None if they are unknown."""

    login: Authenticated
    made: MadeCounts | None


class AccountRecovered(Ack, frozen=True):
    """`made` as in PasswordChanged."""

    made: MadeCounts | None = None


class MessagesExported(msgspec.Struct, frozen=True):
    """`after`: the last index that this page covers. The next page begins after this index. `more`: whether a next page
    exists. `draft`: only in the first page."""

    messages: tuple[DisplayMessage, ...]
    after: int
    more: bool
    draft: SavedDraft | None = None


class MessageAccepted(msgspec.Struct, frozen=True, gc=False):
    """The reply to a MessageCommand. `frames` returns the message as `encode_message` encodes it for this connection's
    variant, for dialects that echo messages. `again`: an earlier request with the same nonce has posted the message."""

    message: Message
    frames: "Callable[[], tuple[Outgoing, ...]]"
    again: bool = False


Reply = msgspec.Struct
"""A reply that the edge itself makes, or a reply of a service, which the route of its request names."""
