"""Requests to the message service: what a client lacks that comes back."""

from hashlib import blake2b

import msgspec

from shared.contract.ids import AccountId, ChatId
from shared.contract.message import MessageChange, Reactions
from shared.contract.model import MemberPair, Message
from shared.contract.routes import Routed

_BITS = 53
"""Clients read numbers as 64-bit floats."""


def fingerprint(*values: object) -> int:
    """A number that every version makes of these values, and of no others that are likely; never 0."""
    digest = blake2b(msgspec.msgpack.encode(values), digest_size=8).digest()
    return int.from_bytes(digest) >> 64 - _BITS or 1


class ChatRevision(msgspec.Struct, frozen=True, omit_defaults=True):
    """`changes`: of messages that the client has, after its `rev`. `sent_up_to`: those after this one are left out;
    None: none is. `pins`: indexes. `reactions`: to the messages that are sent with it, by index."""

    rev: int
    changes: list[MessageChange] = []
    sent_up_to: int | None = None
    pins: list[int] = []
    reactions: dict[int, Reactions] = {}


class ResumedChat(msgspec.Struct, array_like=True, frozen=True):
    """`time`: of the last message, 0 without one. `lacks_from`: the first index that the client lacks; `messages`: the
    newest of those, in order, up to `head`. `unread`: messages of others, at most the limit of a chat."""

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
    """The unread messages that mention the account."""
    state: int = 0
    """Of everything that the account is shown of the chat beside its messages and their changes: another number when
    some of it has changed. 0: not known, an older version of session or message has replied."""


class Resumed(msgspec.Struct, frozen=True):
    """`epoch` changes when the database is restored from a backup. `rewound`: the client has messages that the database
    does not have. `gone`: chats in `have` that the account is not in. `away`: always empty."""

    epoch: str
    chats: list[ResumedChat]
    more: bool = False
    rewound: bool = False
    gone: list[ChatId] = []
    away: list[ChatId] = []


class Resume(msgspec.Struct):
    """The chats of an account of which a client lacks something, the last active first. `have`: the last index of each
    chat that the client has; its other chats are new to it. A page has `window` chats, with their newest `timeline`
    messages each, as far as they fit into the reply; `before`: time and id of the last chat of the page before."""

    route = Routed("message.resume", Resumed)

    account: AccountId
    have: dict[ChatId, int]
    window: int
    timeline: int
    before: tuple[int, int] | None = None
    revs: dict[ChatId, int] = {}
    """The last `rev` of each chat in `have` of which the client has the changes up to there."""
    states: dict[ChatId, int] = {}
    """The last `state` of each chat in `have` that the client knows; without it, only messages and changes count."""
