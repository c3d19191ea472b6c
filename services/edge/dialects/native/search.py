"""The dialect native: the operation `search`."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.replies import MessagesFound
from services.edge.dialects.native import encode
from services.edge.dialects.native.operation import EXPENSIVE, READS, Caller, Operation
from services.edge.dialects.native.shapes import LARGEST, Account, Chat, Parameters
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.search import MAX_CONTEXT, MAX_HITS, MAX_QUERY, ContentKind, SearchMessages
from shared.message_event import ShownMessage

_Time = Annotated[int, msgspec.Meta(ge=1, le=LARGEST, examples=[1_795_263_300_000])]


class SearchParameters(Parameters, kw_only=True):
    """`query`: a text in the query language. It may be empty with `chat` and `has` or `from`. `from`: the sender.
    `before` and `after` are Unix milliseconds. `page`: the `page` of the previous reply. `context`: how many messages
    before and after each hit are included. `zone`: minutes east of UTC, for dates in the query that have no zone."""

    query: Annotated[str, msgspec.Meta(max_length=MAX_QUERY, examples=['lake "at nine" has:image'])] = ""
    chat: Chat | None = None
    sender: Account | None = msgspec.field(default=None, name="from")
    before: _Time | None = None
    after: _Time | None = None
    has: Literal["image", "file", "link"] | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_HITS, examples=[10])] = 20
    page: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,16}-[0-9]{1,16}$", examples=["1795263300000-12"])] | None = None
    context: Annotated[int, msgspec.Meta(ge=0, le=MAX_CONTEXT, examples=[1])] = 0
    zone: Annotated[int, msgspec.Meta(ge=-12 * 60, le=14 * 60, examples=[60])] = 0


class FoundMessage(msgspec.Struct):
    """`snippet`: a part of the message's present text. `marks`: the position and the length of each match in the
    snippet, in code points."""

    chat: int
    index: int
    id: int
    sender: int
    time: int
    snippet: str
    marks: list[tuple[int, int]]


class NextFound(msgspec.Struct):
    """The members with which the same command gets the next page."""

    page: str


class SearchResult(msgspec.Struct):
    """The hits, newest first. `indexed_to`: messages that were sent until this time (Unix milliseconds) were searched.
    `next` and `page` are present if there may be more hits, even if this page has few. `around`: with `context`, the
    messages before and after the hits, sorted by chat and index. It has neither the hits nor reactions."""

    hits: list[FoundMessage]
    indexed_to: int
    page: str | UnsetType = UNSET
    around: list[ShownMessage] | UnsetType = UNSET
    next: NextFound | UnsetType = UNSET


def _search(wire: SearchParameters, _: Caller) -> SearchMessages:
    time, _dash, chat = (wire.page or "").partition("-")
    return SearchMessages(
        wire.query,
        wire.chat or ChatId(0),
        wire.sender or NO_ACCOUNT,
        wire.after or 0,
        wire.before or 0,
        ContentKind(wire.has) if wire.has else None,
        wire.count,
        (int(time), int(chat)) if wire.page else None,
        context=wire.context,
        zone=wire.zone,
    )


def _found(found: MessagesFound, caller: Caller) -> SearchResult:
    page = found.page
    hits = [msgspec.convert(one, FoundMessage, from_attributes=True) for one in page.hits]
    around = encode.messages(found.around, caller.base_url) if found.around else UNSET
    if page.next is None:
        return SearchResult(hits, page.indexed_to, around=around)
    following = "{}-{}".format(*page.next)
    return SearchResult(hits, page.indexed_to, following, around, NextFound(following))


SEARCH = Operation(
    "search", "find messages in the account's chats",
    EXPENSIVE, READS, SearchParameters, SearchResult, _search, _found,
)  # fmt: skip
