"""native, both directions: `read`, `readers` and `unread`."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.parameters import Index, IndexParameters


class ReadResult(msgspec.Struct):
    """`index`: everything up to it is read now: more than was asked for if another connection has read more, and the
    last message if that was beyond it. `unread`: messages of others in the chat that are left; `mentions`: those of
    them that mention the account. What is left out is not known."""

    unread: int | UnsetType = UNSET
    mentions: int | UnsetType = UNSET
    index: int | UnsetType = UNSET


class ReadersParameters(IndexParameters, kw_only=True):
    """`after`: the last account of the page before."""

    after: Index = 0


class ReadersResult(msgspec.Struct):
    """`count`: of all members that have read the message, without its sender. `more`: request the next page with
    `after`, the last account."""

    count: int
    accounts: list[int]
    more: bool


class UnreadChat(msgspec.Struct):
    """`unread`: the messages that are not read; `mentions`: those of them that mention the account."""

    chat: int
    unread: int
    mentions: int


class UnreadResult(msgspec.Struct):
    """`total`, `mentions`: of all chats. `chats`: those with unread messages."""

    total: int
    mentions: int
    chats: list[UnreadChat]
