"""The requests to the message service for the data that a reconnecting client lacks."""

from hashlib import blake2b

import msgspec

from shared.contract.drafts import DraftPreview
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import MessageChange, Reactions
from shared.contract.model import MemberPair, Message
from shared.contract.routes import Routed

_BITS = 53
"""The bits of a state. Clients that read numbers as 64-bit floats have no larger exact integers."""


KNOWN_STATES = 2**32
"""A client may shorten a state to its remainder by this number."""


def fingerprint(*values: object) -> int:
    """A hash of these values. It is the same in every version, and never 0."""
    digest = blake2b(msgspec.msgpack.encode(values), digest_size=8).digest()
    return int.from_bytes(digest) >> 64 - _BITS or 1


class ChatRevision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has changed in a chat. `changes`: the changes after the client's `rev`, of messages that the client has.
    `sent_up_to`: changes after this `rev` are left out; None if no changes are left out. `pins`: the indexes of pinned
    messages. `reactions`: the reactions to the messages in this reply, by index."""

    rev: int
    changes: list[MessageChange] = []
    sent_up_to: int | None = None
    pins: list[int] = []
    reactions: dict[int, Reactions] = {}


class LastMessage(msgspec.Struct, array_like=True, frozen=True):
    """The beginning of a chat's last message, if the account may see it. `kind`: `text`, `emoji`, `image`, `file`,
    `recalled` or `expired`. The last two have no text."""

    index: int
    sender: AccountId
    text: str
    kind: str


class ResumedChat(msgspec.Struct, array_like=True, frozen=True):
    """`time`: the time of the last message, or 0. `lacks_from`: the first index that the client lacks; `messages`: the
    newest missing messages, in order, up to `head`. `unread`: the number of unread messages, at most the limit of a
    chat."""

    chat: ChatId
    head: int
    time: int
    first_index: int
    lacks_from: int
    read_index: int
    unread: int
    messages: list[Message]
    pair: MemberPair | None = None
    revision: ChatRevision | None = None
    mentions: int = 0
    """How many unread messages mention the account."""
    state: int = 0
    """A number that changes whenever anything changes that the account sees of the chat, except messages and their
    changes."""
    unread_from: int = 0
    """See MarkUnread; 0 if the chat is not marked."""
    draft: DraftPreview | None = None
    """The draft of the account."""
    last: LastMessage | None = None


class Resumed(msgspec.Struct, frozen=True):
    """`epoch` changes when the database is restored from a backup. `rewound`: the client has messages that the database
    lacks. `gone`: the chats in `have` of which the account is no member. `away`: always empty."""

    epoch: str
    chats: list[ResumedChat]
    more: bool = False
    rewound: bool = False
    gone: list[ChatId] = []
    away: list[ChatId] = []


class Resume(msgspec.Struct):
    """A request for the chats of which a client lacks something, the most recently active first. `have`: the last index
    of each chat that the client has; all other chats are new to the client. A page has `window` chats, with the newest
    `timeline` messages of each, as far as these fit into the reply; `before`: time and id of the last chat of the
    previous page."""

    route = Routed("message.resume", Resumed)
    account: AccountId
    have: dict[ChatId, int]
    window: int
    timeline: int
    before: tuple[int, int] | None = None
    revs: dict[ChatId, int] = {}
    """For each chat in `have`, the last `rev` up to which the client has all changes."""
    states: dict[ChatId, int] = {}
    """For each chat in `have`, the last `state` that the client knows. If `states` lacks a chat, only the chat's
    messages and changes are compared."""
    among: tuple[int, int] | None = None
    """The first and last id of the chats that are compared; None: all chats."""
