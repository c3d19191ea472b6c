"""Requests to the message service: post, sync, history, read state."""

import msgspec

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary
from shared.contract.session import ChatEntry


class Draft(msgspec.Struct, array_like=True, frozen=True):
    """One message before its commit. It must not be committed after `deadline` (milliseconds by the requester's steady
    clock: see shared.clock)."""

    sender: AccountId
    chat: ChatId
    nonce: Nonce
    deadline: int
    body: bytes
    face: ProfileSummary | None = None
    """The sender's profile summary, forwarded to the recipients' edges; not stored."""


class PostMessages(msgspec.Struct):
    """The messages that the connections of one edge node submitted in one event-loop tick, or while its in-flight
    window was full."""

    node: NodeId
    drafts: list[Draft]


class Posted(msgspec.Struct, tag="posted", array_like=True, frozen=True):
    """A committed message (now, or by an earlier attempt with the same nonce)."""

    id: MessageId
    index: int
    time: int


class PostResults(msgspec.Struct, frozen=True):
    """One result for each draft, in order. `failures` maps positions to failures; `posted` is None there."""

    posted: list[Posted | None]
    failures: dict[int, Failure] = {}


class Sync(msgspec.Struct):
    """The backlog of an account: its chats in order of id, one page after `after`, from one snapshot.

    The reply holds the head of every chat of the page and, except for the chats in `known`, the unread messages, oldest
    first: at most the newest 1,000 of each chat (setting), within the size limit of a reply. An account's own messages
    are never unread.
    """

    account: AccountId
    after: ChatId = ChatId(0)
    known: list[ChatId] = []
    also: list[AccountId] = []
    """Further accounts, whose first pages the reply includes."""
    bare: bool = False
    """Omit the messages; only the counts are needed."""


class ChatSync(msgspec.Struct, array_like=True, frozen=True):
    """`messages`: the unread messages from `unread_from` to `upto`. If `upto` is below `head`, continue with SyncChat
    after it, without the account's own messages and without the indexes in `read` (inclusive ranges above `read_index`
    that are read). Messages between `read_index` and `unread_from` are too old and count as read."""

    chat: ChatId
    head: int
    read_index: int
    unread_from: int
    upto: int
    read: list[tuple[int, int]]
    messages: list[Message]
    pair: MemberPair | None = None


class Synced(msgspec.Struct, frozen=True):
    """With `more`, request the page after `last_chat`. `also`: as many of the further accounts as fit into the reply.
    `away`: chats of the page whose database does not answer now, with the members of the private ones."""

    chats: list[ChatSync]
    more: bool = False
    also: "dict[AccountId, Synced]" = {}
    away: dict[ChatId, MemberPair | None] = {}

    @property
    def last_chat(self) -> ChatId:
        """The last chat of the page; 0 without chats."""
        return max([*self.away, *(entry.chat for entry in self.chats[-1:])], default=ChatId(0))


class SyncChat(msgspec.Struct):
    """One page of a chat's messages after index `after`, and the range that each of these accounts may see. `since`:
    the membership version that the caller knows; 0: none."""

    chat: ChatId
    accounts: list[AccountId]
    after: int
    since: int = 0


class ChatSynced(msgspec.Struct, frozen=True):
    """One snapshot: `messages` up to `upto` without a gap, `head` the last index. `first_index` has an entry for every
    requested account that is a member: the first index it may see; `unread_from`: the first that may be unread for it
    (as in ChatSync). `changed`: the accounts whose membership has changed after version `since`, with the first index
    that each may see, or 0 for an account that has left; None if that is not known."""

    chat: ChatId
    head: int
    upto: int
    messages: list[Message]
    first_index: dict[AccountId, int]
    unread_from: dict[AccountId, int]
    version: int = 0
    pair: MemberPair | None = None
    changed: dict[AccountId, int] | None = None


class GetHistory(msgspec.Struct):
    """A page of a chat's messages, for members. `start` is an index from 1, or −k for the k-th newest; the page runs to
    `older` messages (newest first) or newer ones (oldest first). A start before the first message gives an empty
    page."""

    chat: ChatId
    start: int
    count: int
    older: bool = True
    actor: AccountId = NO_ACCOUNT
    all: bool = False
    """An operator reads without being a member. Operators alone may set it: edges never do."""


class History(msgspec.Struct, frozen=True):
    messages: list[Message]
    head: int
    more: bool = False
    """The reply was full before `count` messages: continue from the last index."""


class ReadRange(msgspec.Struct, array_like=True, frozen=True):
    """Indexes `low` to `high`, inclusive, have arrived at this account."""

    account: AccountId
    chat: ChatId
    low: int
    high: int


class MarkRead(msgspec.Struct):
    """Read state of one node's accounts, collected for up to 200 ms."""

    ranges: list[ReadRange]


class Marked(msgspec.Struct, frozen=True):
    """`unstored`: ranges of chats whose database does not answer now; the others are stored."""

    unstored: list[ReadRange] = []


class GetHeads(msgspec.Struct):
    """Requests the last index of each chat (0: no message yet)."""

    chats: list[ChatId]


class Heads(msgspec.Struct, frozen=True):
    heads: dict[ChatId, int]


class GetUnread(msgspec.Struct):
    """The unread messages of an account over all its chats, oldest first by time, at most `count` (0: only the total).
    The limit of unread messages for each chat is that of a sync."""

    account: AccountId
    count: int


class Unread(msgspec.Struct, frozen=True):
    """`total`: before this reply. `pairs`: the members of the private chats among the messages' chats."""

    total: int
    messages: list[Message]
    pairs: dict[ChatId, MemberPair] = {}


# Between replicas of message that work on several databases: each is requested for its own chats.


class SyncPart(msgspec.Struct):
    """The chats of a Sync that one database serves, by account."""

    lists: dict[AccountId, list[ChatEntry]]
    known: list[ChatId]
    bare: bool


class SyncedPart(msgspec.Struct, frozen=True):
    """The pages of as many of the accounts as fit into the reply, in the order of the request; at least the first."""

    accounts: dict[AccountId, Synced]


class UnreadPart(msgspec.Struct):
    """The chats of a GetUnread that one database serves."""

    account: AccountId
    entries: list[ChatEntry]
    count: int
