"""Requests about what accounts have read."""

import msgspec

from shared.contract.ids import AccountId, ChatId

MAX_READ_INDEXES = 500
"""In one request."""


class FindReadIndexes(msgspec.Struct):
    """Requests up to where these accounts have read these chats, at most 500; the reply omits those that are no
    members, and chats whose database does not answer now. `counts`: with what is unread. Requested by edges, for no
    user."""

    members: list[tuple[AccountId, ChatId]]
    counts: bool = False


class ReadIndex(msgspec.Struct, array_like=True, frozen=True):
    """The account has read everything up to `index`. `unread`: messages of others after it that it has not read, at
    most the limit of a chat; `mentions`: those of them that mention the account."""

    account: AccountId
    chat: ChatId
    index: int
    unread: int = 0
    mentions: int = 0


class ReadIndexes(msgspec.Struct, frozen=True):
    found: list[ReadIndex]
