"""Ephemeral events, which an edge sends to every edge. They are not stored or repeated, so a client must also work
without them."""

import msgspec

from shared.contract.drafts import DraftPreview
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.metadata import MetadataValue
from shared.contract.model import JoinPolicy, ProfileSummary
from shared.contract.own_settings import OwnSettings


class Ephemeral(msgspec.Struct, frozen=True):
    """An event that clients see at once or never. The older protocols have no frame for it."""


class Typing(Ephemeral, tag="typing", frozen=True):
    """A member (`face`) is writing a message. Clients show this for this number of milliseconds. 0 means that the
    member has stopped."""

    chat: ChatId
    account: AccountId
    ttl_ms: int
    face: ProfileSummary | None = None


class PresenceChanged(Ephemeral, frozen=True):
    """The presence of a watched account: `active`, `away`, `busy` or `offline`. Only the account itself sees `hidden`.
    `unknown` means that the account may not be watched, or that presence is unavailable. `since`: Unix milliseconds; 0
    if the account has set no state. `text`: the text that the account has set with the state."""

    account: AccountId
    state: str
    since: int = 0
    text: str = ""


class ChatRead(Ephemeral, frozen=True):
    """On another connection, the account has read a chat up to this index, or has marked it as unread. For `unread`,
    `mentions` and `unread_from`, see ReadIndex."""

    chat: ChatId
    index: int
    unread: int = 0
    mentions: int = 0
    unread_from: int = 0


class ReceiptsShown(Ephemeral, frozen=True):
    """The indexes up to which other members have read a chat."""

    chat: ChatId
    upto: tuple[tuple[AccountId, int], ...]


class ChatSettingsChanged(Ephemeral, frozen=True):
    """A group now has these settings; see Chat."""

    chat: ChatId
    by: AccountId
    avatar: str
    avatar_hash: str
    topic: str
    join_policy: JoinPolicy
    receipts: bool
    edit_seconds: int | None = None
    recall_seconds: int | None = None
    history_for_new: bool | None = None
    handle: str = ""
    faces: dict[AccountId, ProfileSummary] = {}
    """The profile summary of `by`."""
    reason: str = ""
    """The reason of a new handle."""
    topic_time: int = 0
    """The time of a new topic (Unix ms)."""


class ChatMuted(Ephemeral, tag="muted", frozen=True):
    """The account has muted a chat on this connection (node and number). The values are as in MemberSettings."""

    chat: ChatId
    account: AccountId
    until: int
    mentions_only: bool
    origin: tuple[NodeId, int]


class ChatPlaced(Ephemeral, tag="placed", frozen=True):
    """The account has pinned, archived or hidden a chat on this connection (node and number). The values are as in
    MemberSettings."""

    chat: ChatId
    account: AccountId
    pinned: bool
    archived: bool
    origin: tuple[NodeId, int]
    hidden: int = 0


class DraftChanged(Ephemeral, tag="draft", frozen=True):
    """The account has changed its draft in the chat on this connection (node and number). If the text is empty, the
    draft was sent or removed."""

    chat: ChatId
    account: AccountId
    draft: DraftPreview
    origin: tuple[NodeId, int]


class OwnSettingsChanged(Ephemeral, tag="own_settings", frozen=True):
    """The account has changed its settings on this connection (node and number)."""

    account: AccountId
    settings: OwnSettings
    origin: tuple[NodeId, int]


class ReadTimeMoved(Ephemeral, tag="read_time", frozen=True):
    """On this connection (node and number), an IRC client has reported that the account has read the chat until a time
    (Unix ms)."""

    chat: ChatId
    account: AccountId
    time: int
    origin: tuple[NodeId, int]


class ReadPlace(msgspec.Struct, array_like=True, frozen=True):
    """An account has read a chat up to this index, on the connection with this number (0 if unknown). Index 0 means
    that the account has marked the chat as unread."""

    account: AccountId
    chat: ChatId
    index: int
    connection: int


class ReadsAnnounced(msgspec.Struct, tag="reads", frozen=True):
    """The reads of accounts on connections of this node."""

    node: NodeId
    places: list[ReadPlace]


class ReadsWanted(msgspec.Struct, tag="reads_wanted", frozen=True):
    """This node announces that it has connections that show read receipts. Published every two seconds."""

    node: NodeId


class BlocksChanged(msgspec.Struct, tag="blocks_changed", frozen=True):
    """Another account blocks this account from now on, or has stopped blocking it."""

    account: AccountId


class TagsRelayed(Ephemeral, tag="tags", frozen=True):
    """The tags that a member has sent by TAGMSG on a connection of this node. `face`: the member. With a `text`, it is
    not a TAGMSG but a message between clients (CTCP); `unanswered`: it was sent as a NOTICE."""

    chat: ChatId
    account: AccountId
    tags: dict[str, str]
    face: ProfileSummary
    node: NodeId
    text: str = ""
    unanswered: bool = False


class AwayChanged(Ephemeral, tag="away", frozen=True):
    """An account is away, with this text. If the text is empty, it is present again. `chats`: the chats of the
    account."""

    account: AccountId
    face: ProfileSummary
    text: str
    chats: list[ChatId]
    node: NodeId


class MetadataChanged(Ephemeral, tag="metadata", frozen=True):
    """An account has changed one of its own texts, or a text of a group. `chats`: the chats whose members see the
    change."""

    account: AccountId
    face: ProfileSummary
    value: MetadataValue
    chats: list[ChatId]
    node: NodeId


class NickSeen(Ephemeral, tag="nick", frozen=True):
    """A guest has connected (`online`) or left. The event is for clients that monitor its nick. `described`: only the
    guest's real name has changed."""

    account: AccountId
    face: ProfileSummary
    online: bool
    node: NodeId
    described: bool = False


class OperatorActed(Ephemeral, tag="operator", frozen=True):
    """An IRC operator (`face`) has ended the connections of the account `killed`. If `killed` is 0, the operator has
    sent a text to all clients that want such texts."""

    account: AccountId
    face: ProfileSummary
    text: str
    killed: AccountId
    node: NodeId


OwnChanged = ChatMuted | ChatPlaced | DraftChanged | OwnSettingsChanged | ReadTimeMoved
"""Changes that the account itself has made on another connection."""
IrcEvent = TagsRelayed | AwayChanged | MetadataChanged | NickSeen | OperatorActed
EphemeralEvent = Typing | OwnChanged | BlocksChanged | ReadsAnnounced | ReadsWanted | IrcEvent
