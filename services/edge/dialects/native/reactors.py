"""native, both directions: `reactors`."""

from typing import Annotated

import msgspec

from services.edge.dialects.native.parameters import EMOJI_BYTES, Index, IndexParameters
from shared.contract.ids import AccountId, ChatId
from shared.contract.reactions import MAX_REACTORS, FindReactors, Reactors


class ReactorsParameters(IndexParameters, kw_only=True):
    """`emoji`: of this reaction alone. `after`: the last account of the page before."""

    emoji: Annotated[str, msgspec.Meta(max_length=EMOJI_BYTES, examples=["👍"])] = ""
    after: Index = 0
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_REACTORS, examples=[50])] = MAX_REACTORS


class ReactorInfo(msgspec.Struct):
    """`emojis`: with which the account has reacted, of those that were requested."""

    account: int
    emojis: list[str]


class ReactorsResult(msgspec.Struct):
    """Ascending by account; it may have left the chat. `more`: request the next page with `after`, the last account."""

    reactors: list[ReactorInfo]
    more: bool


def find(wire: ReactorsParameters, _: object) -> FindReactors:
    return FindReactors(ChatId(wire.chat), wire.index, wire.emoji, AccountId(wire.after), wire.count)


def found(reply: Reactors) -> ReactorsResult:
    return ReactorsResult([ReactorInfo(one.account, one.emojis) for one in reply.reactors], reply.more)
