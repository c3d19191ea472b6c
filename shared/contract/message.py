"""What message is asked: post, sync, history, read state."""

import msgspec

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary


class Draft(msgspec.Struct, array_like=True, frozen=True):
    """One message to be committed. `deadline` (Unix milliseconds): after it, it must not be."""

    sender: AccountId
    chat: ChatId
    nonce: Nonce
    deadline: int
    body: bytes
    face: ProfileSummary | None = None
    """Passed on to the recipients' edges, not stored."""


class PostMessages(msgspec.Struct):
    """What the connections of one edge node said within one turn of its event loop, or while enough was under way."""

    node: NodeId
    drafts: list[Draft]


class Posted(msgspec.Struct, tag="posted", array_like=True, frozen=True):
    """Committed (now, or by an earlier attempt with the same nonce)."""

    id: MessageId
    index: int
    time: int


class PostResults(msgspec.Struct, frozen=True):
    """One result per draft, in order. `failures` maps positions to refusals; `posted` is None there."""

    posted: list[Posted | None]
    failures: dict[int, Failure] = {}


class Sync(msgspec.Struct):
    """What an account missed, over its chats in order of id, a page starting after `after`, from one snapshot.

    The reply holds the head of every chat it covers and, save for the chats in `known`, the unread messages: the
    account's own are never unread; oldest first; at most the newest 1,000 per chat (setting), as far as the reply's
    size allows.
    """

    account: AccountId
    after: ChatId = ChatId(0)
    known: list[ChatId] = []
    also: list[AccountId] = []
    """The first pages of these too, as of accounts of their own."""
    bare: bool = False
    """Messages are not wanted, only how many there are to be read."""


class ChatSync(msgspec.Struct, array_like=True, frozen=True):
    """`messages` are the unread ones from `unread_from` to `upto`. When `upto` is below `head`, go on with SyncChat
    after it, leaving out the account's own messages and the indexes in `read` (inclusive ranges above `read_index`
    that are read already). What lies between `read_index` and `unread_from` is too old: it counts as read."""

    chat: ChatId
    head: int
    read_index: int
    unread_from: int
    upto: int
    read: list[tuple[int, int]]
    messages: list[Message]
    pair: MemberPair | None = None


class Synced(msgspec.Struct, frozen=True):
    """With `more`, ask again after the last chat. `also`: as many of the others that were asked for as the reply has
    room for."""

    chats: list[ChatSync]
    more: bool = False
    also: "dict[AccountId, Synced]" = {}


class SyncChat(msgspec.Struct):
    """The messages of one chat after index `after`, a page, and what each of these accounts may see of it."""

    chat: ChatId
    accounts: list[AccountId]
    after: int


class ChatSynced(msgspec.Struct, frozen=True):
    """`messages` go up to `upto` without a gap, `head` is the last index there is (one snapshot). `first_index` has
    an entry for every asked account that is a member: the first index it may see; `unread_from`: the first that may
    be unread for it (as in ChatSync, so that what is too old is not shown as news)."""

    chat: ChatId
    head: int
    upto: int
    messages: list[Message]
    first_index: dict[AccountId, int]
    unread_from: dict[AccountId, int]
    version: int = 0
    pair: MemberPair | None = None


class GetHistory(msgspec.Struct):
    """Messages of a chat, for members: `start` counts from 1, or −k for the k-th newest; towards `older` (newest
    first) or newer (oldest first). Starting before the first message gives an empty list."""

    chat: ChatId
    start: int
    count: int
    older: bool = True
    actor: AccountId = NO_ACCOUNT
    all: bool = False
    """An operator reads without being a member; the bus lets only its user ask so."""


class History(msgspec.Struct, frozen=True):
    messages: list[Message]
    head: int
    more: bool = False
    """The reply was full before `count` was reached: go on from the last index."""


class ReadRange(msgspec.Struct, array_like=True, frozen=True):
    """Indexes `low` to `high`, inclusive, arrived at this account."""

    account: AccountId
    chat: ChatId
    low: int
    high: int


class MarkRead(msgspec.Struct):
    """Read state of one node's accounts, gathered for up to 200 ms."""

    ranges: list[ReadRange]


class GetHeads(msgspec.Struct):
    """The last index of each of these chats (0: no message yet)."""

    chats: list[ChatId]


class Heads(msgspec.Struct, frozen=True):
    heads: dict[ChatId, int]


class GetUnread(msgspec.Struct):
    """The unread messages of an account over all its chats, oldest first by time, at most `count` (0: only how many
    there are). The limit of unread messages per chat counts as in a sync."""

    account: AccountId
    count: int


class Unread(msgspec.Struct, frozen=True):
    """`total` before this answer; `pairs` names the private chats among those of the messages."""

    total: int
    messages: list[Message]
    pairs: dict[ChatId, MemberPair] = {}
