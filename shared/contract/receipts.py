"""Requests about what accounts have read, and who has reacted to a message."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Routed

MAX_READ_INDEXES = 500
"""In one request."""


class ReadIndex(msgspec.Struct, array_like=True, frozen=True):
    """The account has read everything up to `index`. `unread`: messages of others after it, at most the limit of a
    chat; `mentions`: those of them that mention the account."""

    account: AccountId
    chat: ChatId
    index: int
    unread: int = 0
    mentions: int = 0


class ReadIndexes(msgspec.Struct, frozen=True):
    found: list[ReadIndex]


class FindReadIndexes(msgspec.Struct):
    """Requests up to where these accounts have read these chats, at most 500; the reply omits those that are no
    members, and chats whose database does not answer now. `counts`: with what is unread. Requested by edges, for no
    user."""

    route = Routed("message.read_indexes", ReadIndexes)

    members: list[tuple[AccountId, ChatId]]
    counts: bool = False


class ReceiptChats(msgspec.Struct, frozen=True):
    """The number of members of each."""

    members: dict[ChatId, int]


class FindReceiptChats(msgspec.Struct):
    """Requests those of these chats, at most 500, in which members see what the others have read: private chats, unless
    one member blocks the other, and groups whose setting allows it. Requested by edges, for no user."""

    route = Routed("session.receipt_chats", ReceiptChats)

    chats: list[ChatId]


class Readers(msgspec.Struct, frozen=True):
    """`count`: of all. `accounts`: at most 100, ascending. `more`: request the next page."""

    count: int
    accounts: list[AccountId]
    more: bool = False


class FindReaders(msgspec.Struct):
    """Requests the members that have read a message, without its sender, one page after the account `after`. Only
    members that may see the message may; more than 500 members: `limit`."""

    route = Routed("message.readers", Readers, reads=True)

    chat: ChatId
    index: int
    after: AccountId = NO_ACCOUNT
    actor: AccountId = NO_ACCOUNT


MAX_REACTORS = 100
"""In one reply."""


class Reactor(msgspec.Struct, array_like=True, frozen=True):
    """`emojis`: those that were requested, ascending. The account may have left the chat, or be deleted."""

    account: AccountId
    emojis: list[str]


class Reactors(msgspec.Struct, frozen=True):
    """Ascending by account. `more`: request the next page."""

    reactors: list[Reactor]
    more: bool = False


class FindReactors(msgspec.Struct):
    """Requests the accounts that have reacted to a message, with `emoji` (empty: with any), at most `count` after the
    account `after`. Only members that may see the message may."""

    route = Routed("message.reactors", Reactors, reads=True)

    chat: ChatId
    index: int
    emoji: str = ""
    after: AccountId = NO_ACCOUNT
    count: int = MAX_REACTORS
    actor: AccountId = NO_ACCOUNT
