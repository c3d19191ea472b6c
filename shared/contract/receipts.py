"""The requests about read receipts and reactions."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Forwarded, Routed

MAX_READ_INDEXES = 500
"""The most read indexes in one request."""


class ReadIndex(msgspec.Struct, array_like=True, frozen=True):
    """The account has read all messages up to `index`. `unread`: the number of later messages of other users, at most
    the limit of a chat. `mentions`: how many of these mention the account. `unread_from`: see MarkUnread; 0 if it is
    not set."""

    account: AccountId
    chat: ChatId
    index: int
    unread: int = 0
    mentions: int = 0
    unread_from: int = 0


class ReadIndexes(msgspec.Struct, frozen=True):
    found: list[ReadIndex]


class FindReadIndexes(msgspec.Struct):
    """A request for the index up to which each of these accounts has read each of these chats, at most 500. The reply
    omits accounts that are not members. `counts`: the reply also counts unread messages. Edges and the session service
    send this request on their own behalf."""

    route = Routed("message.read_indexes", ReadIndexes)
    members: list[tuple[AccountId, ChatId]]
    counts: bool = False


class ReceiptChats(msgspec.Struct, frozen=True):
    """The number of members of each chat."""

    members: dict[ChatId, int]


class FindReceiptChats(msgspec.Struct):
    """A request for the chats among these, at most 500, that show members read receipts: private chats, unless one
    member blocks the other, and groups whose setting allows receipts. Edges send this request on their own behalf."""

    route = Routed("session.receipt_chats", ReceiptChats)
    chats: list[ChatId]


class Readers(msgspec.Struct, frozen=True):
    """`count`: the number of all readers. `accounts`: at most 100 readers, ascending. `more`: there are further readers
    on the next page."""

    count: int
    accounts: list[AccountId]
    more: bool = False


class FindReaders(msgspec.Struct):
    """A request for the members that have read a message, without the message's sender, one page after the account
    `after`. Only members that may see the message may send this request. Error: `limit` for a chat with more than 500
    members."""

    route = Routed("message.readers", Readers, reads=True)
    chat: ChatId
    index: int
    after: AccountId = NO_ACCOUNT
    actor: AccountId = NO_ACCOUNT


MAX_REACTORS = 100
"""The most accounts in one reply."""


class Reactor(msgspec.Struct, array_like=True, frozen=True):
    """`emojis`: the emoji of the account among the requested ones, ascending. The account may have left the chat, or be
    deleted."""

    account: AccountId
    emojis: list[str]


class Reactors(msgspec.Struct, frozen=True):
    """The accounts, ascending. `more`: there are further accounts on the next page."""

    reactors: list[Reactor]
    more: bool = False


class FindReactors(Forwarded):
    """A request for the accounts that have reacted to a message, with `emoji` (empty for any emoji), at most `count`
    after the account `after`. Only members that may see the message may request its reactors."""

    route = Routed("message.reactors", Reactors, reads=True)
    chat: ChatId
    index: int
    emoji: str = ""
    after: AccountId = NO_ACCOUNT
    count: int = MAX_REACTORS
