"""Requests to the message service: post, change, sync, history, read state."""

from enum import StrEnum

import msgspec

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary, Quote
from shared.contract.routes import Routed


class Draft(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message before its commit. It must not be committed after `deadline` (milliseconds by the requester's steady
    clock: see shared.clock)."""

    sender: AccountId
    chat: ChatId
    nonce: Nonce
    deadline: int
    body: bytes
    face: ProfileSummary | None = None
    """The sender's profile summary, forwarded to the recipients' edges; not stored."""
    quote: Quote | None = None
    """Of the message that it replies to; forwarded and not stored, as well."""
    by: AccountId = NO_ACCOUNT
    """The member whose rights admit the message of a sender that is no member; NO_ACCOUNT: the sender."""


class Posted(msgspec.Struct, tag="posted", array_like=True, frozen=True, gc=False):
    """A committed message (now, or by an earlier attempt with the same nonce)."""

    id: MessageId
    index: int
    time: int


class PostResults(msgspec.Struct, frozen=True, omit_defaults=True):
    """One result for each draft, in order. `failures` maps positions to failures; `posted` is None there. `again`: the
    positions of messages that an earlier request has posted."""

    posted: list[Posted | None]
    failures: dict[int, Failure] = {}
    again: list[int] = []


class PostMessages(msgspec.Struct):
    """Messages that clients of one edge sent in one tick of the event loop, or while its in-flight window was full."""

    route = Routed("message.post", PostResults)

    node: NodeId
    drafts: list[Draft]


# Changes of messages


class EditText(msgspec.Struct, tag="edit", frozen=True):
    """Replace the body of a message, which keeps its index and its time. `nonce`: an edit of the message with a nonce
    that is stored already is not repeated. `if_rev`: only if the text has not changed after this `rev`."""

    body: bytes
    nonce: Nonce
    if_rev: int | None = None


class RecallText(msgspec.Struct, tag="recall", frozen=True):
    """Replace the body by RECALLED_BODY for ever."""


class React(msgspec.Struct, tag="react", frozen=True):
    """Add (`on`) or remove the actor's reaction with this emoji."""

    emoji: str
    on: bool


class PinMessage(msgspec.Struct, tag="pin", frozen=True):
    on: bool


class Changed(msgspec.Struct, tag="changed", frozen=True, omit_defaults=True):
    """The change is committed, now or by an earlier request. `time`: Unix milliseconds. `count`: the accounts that have
    reacted to the message with the emoji."""

    rev: int
    time: int
    count: int = 0


class ChangeMessage(msgspec.Struct):
    """Change a committed message. Each change of a chat's messages gets the chat's next `rev`. `origin`: node and
    number of the connection, to which the change is not pushed."""

    route = Routed("message.change", Changed)

    chat: ChatId
    index: int
    change: EditText | RecallText | React | PinMessage
    actor: AccountId = NO_ACCOUNT
    origin: tuple[NodeId, int] | None = None


class ChangeKind(StrEnum):
    EDIT = "edit"
    RECALL = "recall"
    REACTION = "reaction"
    PIN = "pin"


class MessageChange(msgspec.Struct, array_like=True, frozen=True):
    """The last change of its kind of a message; an edit and a recall are of one kind. `by`: who made it. `body`: of an
    edited message. `reactions`: the number of accounts by emoji; `mine`: the emoji of the requester, None if it is
    pushed; `emoji`: pushed, the one that `by` has added (`on`) or removed, empty if it is pushed again. `on` of a pin:
    the message is pinned."""

    chat: ChatId
    rev: int
    index: int
    kind: ChangeKind
    by: AccountId
    time: int
    body: bytes = b""
    reactions: dict[str, int] = {}
    mine: list[str] | None = None
    emoji: str = ""
    on: bool = True


class ChangePage(msgspec.Struct, frozen=True):
    """`rev`: the chat's last one. `more`: continue after the last change."""

    changes: list[MessageChange]
    rev: int
    more: bool = False


class GetChanges(msgspec.Struct):
    """The changes of a chat's messages after `after`, in the order of `rev`, for members. Of several changes of one
    kind of a message, only the last is there."""

    route = Routed("message.changes", ChangePage, reads=True)

    chat: ChatId
    after: int
    actor: AccountId = NO_ACCOUNT


class Reactions(msgspec.Struct, array_like=True, frozen=True):
    """To one message: the number of accounts by emoji, and the emoji of the requester."""

    counts: dict[str, int]
    mine: list[str]


class ChatSync(msgspec.Struct, array_like=True, frozen=True):
    """`messages`: the undelivered messages from `missed_from` to `upto`. If `upto` is below `head`, continue with
    SyncChat after it, without the account's own messages and without the indexes in `delivered` (inclusive ranges above
    `delivered_index` that are delivered). `left_out`: the messages of others between `delivered_index` and
    `missed_from`, which are too many to be pushed; 0 also if messages are not requested. `last_time`: of the head, Unix
    milliseconds; 0: not known. `first_index`: the first that the account may see, 0: not known; `rev`: of the chat's
    last change."""

    chat: ChatId
    head: int
    delivered_index: int
    missed_from: int
    upto: int
    delivered: list[tuple[int, int]]
    messages: list[Message]
    pair: MemberPair | None = None
    last_time: int = 0
    left_out: int = 0
    first_index: int = 0
    rev: int = 0


class Synced(msgspec.Struct, frozen=True):
    """With `more`, request the page after `last_chat`. `also`: as many of the further accounts as fit into the reply.
    `away`: not sent any more."""

    chats: list[ChatSync]
    more: bool = False
    also: "dict[AccountId, Synced]" = {}
    away: dict[ChatId, MemberPair | None] = {}

    @property
    def last_chat(self) -> ChatId:
        """The last chat of the page; 0 without chats."""
        return self.chats[-1].chat if self.chats else ChatId(0)


class Sync(msgspec.Struct):
    """The backlog of an account: its chats in order of id, one page after `after`, from one snapshot.

    The reply holds the head of every chat of the page and, except for the chats in `known`, the undelivered messages,
    oldest first: at most the newest 10,000 of each chat (setting), within the size limit of a reply. An account's own
    messages are never among them.
    """

    route = Routed("message.sync", Synced)

    account: AccountId
    after: ChatId = ChatId(0)
    known: list[ChatId] = []
    also: list[AccountId] = []
    """Further accounts, whose first pages the reply includes."""
    bare: bool = False
    """Omit the messages; only the counts are needed."""
    newest: int = 0
    """At most so many messages of each chat; 0: as set."""


class ChatSynced(msgspec.Struct, frozen=True):
    """One snapshot: `messages` up to `upto` without a gap, `head` the last index. `first_index` has an entry for every
    requested account that is a member: the first index it may see; `unread_from`: the first that is not delivered to it
    (`missed_from` of ChatSync). `changed`: the accounts whose membership has changed after version `since`, with the
    first index that each may see, or 0 for an account that has left; None if that is not known."""

    chat: ChatId
    head: int
    upto: int
    messages: list[Message]
    first_index: dict[AccountId, int]
    unread_from: dict[AccountId, int]
    version: int = 0
    pair: MemberPair | None = None
    changed: dict[AccountId, int] | None = None


class SyncChat(msgspec.Struct):
    """One page of a chat's messages after index `after`, and the range that each of these accounts may see. `since`:
    the membership version that the caller knows; 0: none. `limit`: the most messages; 0: as many as a reply holds."""

    route = Routed("message.sync_chat", ChatSynced)

    chat: ChatId
    accounts: list[AccountId]
    after: int
    since: int = 0
    limit: int = 0


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """`more`: the reply was full. `rev`, `reactions` (by index), `unread` (and those with mentions), and `read`, the
    index up to which all is read then: if requested. `upto`: of `own` messages, those up to this index are in the
    reply."""

    messages: list[Message]
    head: int
    more: bool = False
    rev: int = 0
    reactions: dict[int, Reactions] = {}
    unread: tuple[int, int] | None = None
    upto: int = 0
    read: int = 0


class GetHistory(msgspec.Struct):
    """A page of a chat's messages, for members, from `start` on: an index from 1, or −k for the k-th newest; `older`:
    newest first. A start before the first message gives an empty page. `all`: an operator reads, who need not be a
    member; edges never set it. `read_to`: with what is unread once the actor has read everything up to this index, or
    more, if it has. `own`: the actor's own messages alone, from `start` on, also those of a former membership. `left`:
    the edge has checked that the actor was in the chat, and need not be."""

    route = Routed("message.history", History, reads=True)

    chat: ChatId
    start: int
    count: int
    older: bool = True
    actor: AccountId = NO_ACCOUNT
    all: bool = False
    with_reactions: bool = False
    read_to: int | None = None
    own: bool = False
    left: bool = False


class Quoted(msgspec.Struct, frozen=True):
    """As many of them as fit into the reply."""

    messages: list[Message]


class GetQuoted(msgspec.Struct):
    """Messages of a chat, for the edges alone: they show a line of each to the recipients of replies to it."""

    route = Routed("message.quoted", Quoted)

    chat: ChatId
    indexes: list[int]


UNSPECIFIED = -1


class ReadRange(msgspec.Struct, array_like=True, frozen=True):
    """Indexes `low` to `high`, inclusive, have arrived at this account. `read`: it has also read everything up to this
    index; 0: it has read nothing more; UNSPECIFIED: by an edge of the version before, for which a range from 1 on may
    have been read."""

    account: AccountId
    chat: ChatId
    low: int
    high: int
    read: int = UNSPECIFIED


class Marked(msgspec.Struct, frozen=True):
    """`unstored`: not sent any more."""

    unstored: list[ReadRange] = []


class MarkRead(msgspec.Struct):
    """What has arrived at one node's accounts, and what they have read, collected for up to 400 ms."""

    route = Routed("message.read", Marked)

    ranges: list[ReadRange]


class Heads(msgspec.Struct, frozen=True):
    """`revs`: the number of the last change of each chat. It lacks all of them if an older version of message has
    replied."""

    heads: dict[ChatId, int]
    revs: dict[ChatId, int] = {}


class GetHeads(msgspec.Struct):
    """Requests the last index of each chat (0: no message yet)."""

    route = Routed("message.heads", Heads)

    chats: list[ChatId]


class Unread(msgspec.Struct, frozen=True):
    """`total`: before this reply. `pairs`: the members of the private chats among the messages' chats. `chats`, if
    requested: of each chat with unread messages their number, and the number of those that mention the account.
    `left_out`: of each chat with more undelivered messages than the limit, the index up to which they are left out, and
    the number of those of others."""

    total: int
    messages: list[Message]
    pairs: dict[ChatId, MemberPair] = {}
    chats: dict[ChatId, tuple[int, int]] = {}
    left_out: dict[ChatId, tuple[int, int]] = {}


class GetUnread(msgspec.Struct):
    """The undelivered messages of an account over all its chats, oldest first by time, at most `count` (0: only the
    total). The limit for each chat is that of a sync. `by_chat`: the numbers of messages that are not read, and no
    messages."""

    route = Routed("message.unread", Unread)

    account: AccountId
    count: int
    by_chat: bool = False
