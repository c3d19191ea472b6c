"""Requests about reactions to messages. Adding and removing one is a ChangeMessage."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Routed

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
