"""Signals: from an edge to every edge. They are neither stored nor repeated, and no client may depend on one."""

import msgspec

from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import JoinPolicy


class Ephemeral(msgspec.Struct, frozen=True):
    """Clients see it at once or never; the older protocols have nothing for it."""


class Typing(Ephemeral, tag="typing", frozen=True):
    """A member writes a message, to be shown for so long; 0: not any more."""

    chat: ChatId
    account: AccountId
    ttl_ms: int


class PresenceChanged(Ephemeral, frozen=True):
    """The presence of a watched account: active, away, busy, offline; hidden, which the account alone sees; unknown, of
    one that may not be watched, or while presence is not known. `since`: Unix milliseconds; 0: the account has given no
    state. `text`: what it has given beside it."""

    account: AccountId
    state: str
    since: int = 0
    text: str = ""


class ChatRead(Ephemeral, frozen=True):
    """The account has read a chat up to this index, on another connection. `unread`, `mentions`: as in ReadIndex."""

    chat: ChatId
    index: int
    unread: int = 0
    mentions: int = 0


class ReceiptsShown(Ephemeral, frozen=True):
    """Up to which index other members have read a chat."""

    chat: ChatId
    upto: tuple[tuple[AccountId, int], ...]


class ChatSettingsChanged(Ephemeral, frozen=True):
    """A group has these settings from now on; see Chat."""

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


class ChatMuted(Ephemeral, tag="muted", frozen=True):
    """The account has muted a chat, as in Mute, on this connection (node and number)."""

    chat: ChatId
    account: AccountId
    until: int
    mentions_only: bool
    origin: tuple[NodeId, int]


class ReadPlace(msgspec.Struct, array_like=True, frozen=True):
    """Up to where an account has read a chat, by the connection of this number; 0: not known."""

    account: AccountId
    chat: ChatId
    index: int
    connection: int


class ReadsAnnounced(msgspec.Struct, tag="reads", frozen=True):
    """What accounts have read on connections of this node."""

    node: NodeId
    places: list[ReadPlace]


class ReadsWanted(msgspec.Struct, tag="reads_wanted", frozen=True):
    """This node has connections that show what is read; published every two seconds."""

    node: NodeId


class BlocksChanged(msgspec.Struct, tag="blocks_changed", frozen=True):
    """Another account blocks this one from now on, or does not any more."""

    account: AccountId


Signal = Typing | ChatMuted | BlocksChanged | ReadsAnnounced | ReadsWanted
