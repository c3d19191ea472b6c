"""The requests to the message service: post, change, sync, history, read state."""

from enum import StrEnum

import msgspec

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, DeviceId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary, Quote
from shared.contract.routes import Routed

MAX_DEVICES = 20
"""The most devices of an account that get their own missed messages."""


class Draft(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message before its commit. A draft must not be committed after `deadline`, a time of the requester's steady
    clock in milliseconds (see shared.clock)."""

    sender: AccountId
    chat: ChatId
    nonce: Nonce
    deadline: int
    body: bytes
    face: ProfileSummary | None = None
    """The sender's profile summary. It is forwarded to the recipients' edges, and not stored."""
    quote: Quote | None = None
    """A line of the message to which this message replies. It is also forwarded and not stored."""
    by: AccountId = NO_ACCOUNT
    """The member whose permissions count, if the sender is not a member itself. NO_ACCOUNT if the sender's own
    permissions count."""
    saved: int = 0
    """The `rev` of the SavedDraft from which this message was made; 0 if there is none. The commit removes the
    SavedDraft."""


class Posted(msgspec.Struct, tag="posted", array_like=True, frozen=True, gc=False):
    """A message that was committed now, or by an earlier attempt with the same nonce."""

    id: MessageId
    index: int
    time: int


class PostResults(msgspec.Struct, frozen=True, omit_defaults=True):
    """One result for each draft, in the order of the drafts. `failures` maps positions to failures; `posted` is None at
    these positions. `again`: the positions of messages that an earlier request has posted."""

    posted: list[Posted | None]
    failures: dict[int, Failure] = {}
    again: list[int] = []


class PostMessages(msgspec.Struct):
    """Messages that clients of one edge sent in one event-loop iteration, or while the edge's in-flight window was
    full."""

    route = Routed("message.post", PostResults)
    node: NodeId
    drafts: list[Draft]


# Changes of messages


class EditText(msgspec.Struct, tag="edit", frozen=True):
    """Replace the body of a message. The index and time stay the same. An edit whose `nonce` is stored already is not
    made again. `if_rev`: edit only if the text has not changed after this `rev`."""

    body: bytes
    nonce: Nonce
    if_rev: int | None = None


class RecallText(msgspec.Struct, tag="recall", frozen=True):
    """Replace the body permanently by RECALLED_BODY. `reason`: shown to the members that see the recall."""

    reason: str = ""


class React(msgspec.Struct, tag="react", frozen=True):
    """Add (`on`) or remove the actor's reaction with this emoji."""

    emoji: str
    on: bool


class PinMessage(msgspec.Struct, tag="pin", frozen=True):
    on: bool


class Changed(msgspec.Struct, tag="changed", frozen=True, omit_defaults=True):
    """The change was committed now, or by an earlier request. `time`: Unix milliseconds. `count`: the accounts that
    have reacted to the message with the emoji."""

    rev: int
    time: int
    count: int = 0


class ChangeMessage(msgspec.Struct):
    """Change a committed message. Each change of a chat's messages gets the chat's next `rev`. `origin`: node and
    number of the connection, to which the change is not pushed. `face`: the actor's profile summary, forwarded to the
    recipients' edges."""

    route = Routed("message.change", Changed)
    chat: ChatId
    index: int
    change: EditText | RecallText | React | PinMessage
    actor: AccountId = NO_ACCOUNT
    origin: tuple[NodeId, int] | None = None
    face: ProfileSummary | None = None


class ChangeKind(StrEnum):
    EDIT = "edit"
    RECALL = "recall"
    REACTION = "reaction"
    PIN = "pin"


class MessageChange(msgspec.Struct, array_like=True, frozen=True):
    """The last change of one kind of a message. An edit and a recall count as one kind. `by`: the account that has made
    the change. `body`: the body of an edited message. `reactions`: the number of accounts by emoji. `mine`: the emoji
    of the requester; None in a push. `emoji`: in a push, the emoji that `by` has added (`on`) or removed; empty in a
    repeated push. For a pin, `on` means that the message is pinned. `reason`: in a push, the reason of a recall."""

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
    reason: str = ""


class ChangePage(msgspec.Struct, frozen=True):
    """A page of changes. `rev`: the number of the chat's last change. `more`: there are further changes after the last
    one listed."""

    changes: list[MessageChange]
    rev: int
    more: bool = False


class GetChanges(msgspec.Struct):
    """A request of a member for the changes of a chat's messages after `after`, in the order of `rev`. If a message has
    several changes of the same kind, only the last of them is listed."""

    route = Routed("message.changes", ChangePage, reads=True)
    chat: ChatId
    after: int
    actor: AccountId = NO_ACCOUNT


class Reactions(msgspec.Struct, array_like=True, frozen=True):
    """The reactions to one message: the number of accounts by emoji, and the requester's emoji."""

    counts: dict[str, int]
    mine: list[str]


class ChatSync(msgspec.Struct, array_like=True, frozen=True):
    """The state of a chat for an account. `messages`: the undelivered messages from `missed_from` to `upto`. If `upto`
    is below `head`, the caller continues with SyncChat after `upto`. It must then skip the account's own messages and
    messages in `delivered` (inclusive ranges above `delivered_index`). `left_out`: the number of messages of other
    accounts between `delivered_index` and `missed_from`, which are too many to be pushed; also 0 if no messages were
    requested. `last_time`: the time of the last message in Unix milliseconds; 0 if unknown. `first_index`: the first
    index that the account may see; 0 if unknown. `rev`: the `rev` of the chat's last change."""

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
    """While `more` is set, request the page after `last_chat`. `also`: the replies for further accounts, as many as
    fit. `away`: not sent any more."""

    chats: list[ChatSync]
    more: bool = False
    also: "dict[AccountId, Synced]" = {}
    away: dict[ChatId, MemberPair | None] = {}

    @property
    def last_chat(self) -> ChatId:
        """The last chat of the page; 0 if there are no chats."""
        return self.chats[-1].chat if self.chats else ChatId(0)


class Sync(msgspec.Struct):
    """A request for an account's missed messages: one page of its chats after the chat `after`, in order of id, from
    one snapshot.

    The reply has the last index of every chat of the page. For chats that are not in `known`, it also has the
    undelivered messages of other accounts, oldest first. At most the newest 10,000 of each chat (a setting) are sent,
    as far as they fit into the reply.
    """

    route = Routed("message.sync", Synced)
    account: AccountId
    after: ChatId = ChatId(0)
    known: list[ChatId] = []
    also: list[AccountId] = []
    """Further accounts, whose first pages the reply includes."""
    bare: bool = False
    """The reply has no messages, because the caller needs only the counts."""
    newest: int = 0
    """The most messages of each chat; 0 for the number in the settings."""
    devices: dict[AccountId, DeviceId] = {}
    """The devices of some of the accounts. For these, the messages that are undelivered to the device are sent."""


class ChatSynced(msgspec.Struct, frozen=True):
    """The state of a chat in one snapshot. `messages`: without a gap up to `upto`. `head`: the last index.
    `first_index`: for every requested account that is a member, the first index that the account may see.
    `unread_from`: the first index that is not delivered to the account (`missed_from` of ChatSync). `changed`: the
    accounts whose membership has changed after version `since`, each with the first index that it may see, or 0 after
    it has left; None if the changes are unknown."""

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
    """A request for a page of a chat's messages after index `after`, and for the range that each of these accounts may
    see. `since`: the membership version that the caller knows, or 0. `limit`: the most messages; 0 for as many as
    fit. `devices`: see Sync."""

    route = Routed("message.sync_chat", ChatSynced)
    chat: ChatId
    accounts: list[AccountId]
    after: int
    since: int = 0
    limit: int = 0
    devices: dict[AccountId, DeviceId] = {}


class DeviceOpened(msgspec.Struct, frozen=True):
    device: DeviceId


class OpenDevice(msgspec.Struct):
    """The login of a device that gets its own missed messages. At its first login, all messages that are delivered to
    the account count as delivered to the device, too. An account has at most MAX_DEVICES devices; a new one replaces
    the one whose last login is oldest."""

    route = Routed("message.open_device", DeviceOpened)
    account: AccountId
    name: str


class Devices(msgspec.Struct, frozen=True):
    names: list[str]


class ListDevices(msgspec.Struct):
    route = Routed("message.devices", Devices, reads=True)
    account: AccountId


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of messages. `more`: the reply was full. These fields are only set if they were requested: `rev`,
    `reactions` (by index), `unread` and `mentions`, and `read`, the index up to which all messages are read. `upto`: in
    a page of `own` messages, the index up to which messages were examined. `older`, `newer`: there are messages before
    or after a page `around` an index."""

    messages: list[Message]
    head: int
    more: bool = False
    rev: int = 0
    reactions: dict[int, Reactions] = {}
    unread: tuple[int, int] | None = None
    upto: int = 0
    read: int = 0
    older: bool = False
    newer: bool = False


class GetHistory(msgspec.Struct):
    """A member's request for a page of a chat's messages. The page begins with `start`, which is an index from 1 on, or
    −k for the k-th newest message. `older`: newest first. If `start` is before the first message, the page is empty.
    `all`: an operator reads, who need not be a member; edges never set this. `read_to`: the reply also counts the
    messages that are unread when the actor has read all messages up to this index. `own`: only the actor's own
    messages, even in a chat that the actor has left. `left`: the actor need not be a member, because the edge has
    checked that the actor was one. `around`: used in place of `start` for the messages on both sides of this index,
    ascending. `at`: used in place of `start` for the messages around the first message at or after this time (Unix
    ms)."""

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
    around: int = 0
    at: int = 0


class Quoted(msgspec.Struct, frozen=True):
    """The quoted messages that fit into the reply."""

    messages: list[Message]


class GetQuoted(msgspec.Struct):
    """A request for messages of a chat by their indexes. Only edges send this request. They need the messages to show a
    quote with each reply."""

    route = Routed("message.quoted", Quoted)
    chat: ChatId
    indexes: list[int]


class ReadRange(msgspec.Struct, array_like=True, frozen=True):
    """The messages from `low` to `high` (inclusive) have arrived at this account. `read`: the account has also read all
    messages up to this index; 0 if it has read no more."""

    account: AccountId
    chat: ChatId
    low: int
    high: int
    read: int = 0


class DevicePosition(msgspec.Struct, array_like=True, frozen=True):
    """All messages up to `index` have arrived at this device of the account."""

    account: AccountId
    device: DeviceId
    chat: ChatId
    index: int


class Marked(msgspec.Struct, frozen=True):
    """`unstored`: not sent any more."""

    unstored: list[ReadRange] = []


class MarkRead(msgspec.Struct):
    """The messages that the accounts of one node have received and read. The node collects them for up to 400 ms."""

    route = Routed("message.read", Marked)
    ranges: list[ReadRange]
    positions: list[DevicePosition] = []


class UnreadMarked(msgspec.Struct, frozen=True):
    """The number of messages that are unread after the mark, and how many of them mention the account."""

    unread: int
    mentions: int


class MarkUnread(msgspec.Struct):
    """Marks a chat as unread for the actor, from this message on, until the actor reads in the chat. Other members see
    the messages as read. The edge must have committed earlier reads before."""

    route = Routed("message.mark_unread", UnreadMarked)
    chat: ChatId
    index: int
    actor: AccountId = NO_ACCOUNT


class Heads(msgspec.Struct, frozen=True):
    """`revs`: the number of the last change of each chat."""

    heads: dict[ChatId, int]
    revs: dict[ChatId, int] = {}


class GetHeads(msgspec.Struct):
    """A request for the last index of each chat; 0 for a chat without messages."""

    route = Routed("message.heads", Heads)
    chats: list[ChatId]


class Unread(msgspec.Struct, frozen=True):
    """The undelivered messages of an account. `total`: their number before this reply. `pairs`: the members of those
    chats that are private. `chats`, if requested: for each chat with unread messages the number of these messages, and
    how many of these mention the account. `left_out`: for each chat with more undelivered messages than the limit, the
    last index that is left out, and the number of other accounts' messages that are left out."""

    total: int
    messages: list[Message]
    pairs: dict[ChatId, MemberPair] = {}
    chats: dict[ChatId, tuple[int, int]] = {}
    left_out: dict[ChatId, tuple[int, int]] = {}


class GetUnread(msgspec.Struct):
    """A request for the undelivered messages of an account in all chats, oldest first by time, at most `count`; 0 for
    only the total. The limit for each chat is the same as in a sync. `by_chat`: the reply has only the numbers of
    unread messages. `sent`: ranges of messages that earlier replies had and whose arrival is not confirmed yet. They
    count as delivered."""

    route = Routed("message.unread", Unread)
    account: AccountId
    count: int
    by_chat: bool = False
    sent: dict[ChatId, list[tuple[int, int]]] = {}
