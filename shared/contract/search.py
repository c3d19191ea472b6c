"""Search in the chats of an account: requests to the search service."""

from enum import StrEnum

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId
from shared.contract.model import Message
from shared.contract.routes import Routed

MAX_HITS = 50
"""The most hits of a page."""
MAX_QUERY = 200
"""The most characters of a query."""
MAX_CONTEXT = 3
"""The most messages before, and after, each hit."""


class ContentKind(StrEnum):
    """The kinds of content besides words."""

    IMAGE = "image"
    FILE = "file"
    LINK = "link"


class SearchHit(msgspec.Struct, array_like=True, frozen=True):
    """A message in its present state. `snippet`: part of the message's text; `marks`: position and length of each match
    in the snippet, in code points."""

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    snippet: str
    marks: list[tuple[int, int]]


class SearchPage(msgspec.Struct, frozen=True):
    """A page of hits. `next`: the `place` of the next page; None on the last page. Any page may have few hits or none.
    `indexed_to`: messages that were sent before this time (Unix ms) are in the index. `around`: the messages around the
    hits, by chat and index, without reactions. The hits are among them only if the request has `with_hits`."""

    hits: list[SearchHit]
    indexed_to: int
    next: tuple[int, int] | None = None
    around: list[Message] = []


class SearchMessages(msgspec.Struct):
    """A request for the messages that match `query` (docs/reference/search.md) in the chats of which `actor` is a
    member, newest first, or oldest first if `oldest_first`. `chat`, `sender`: 0 for any. `after`, `before`: Unix ms,
    exclusive; 0 for no bound. These fields apply in addition to the filters in the query. `place`: the `next` of the
    previous page, or the time and chat of its last message. `context`: the number of messages before and after each hit
    that the reply has. `zone`: minutes east of UTC, for dates in the query that name no zone. `with_hits`: whether
    `around` in the reply has the hits."""

    route = Routed("search.messages", SearchPage, reads=True)
    query: str
    chat: ChatId = ChatId(0)
    sender: AccountId = NO_ACCOUNT
    after: int = 0
    before: int = 0
    has: ContentKind | None = None
    count: int = 20
    place: tuple[int, int] | None = None
    actor: AccountId = NO_ACCOUNT
    context: int = 0
    zone: int = 0
    with_hits: bool = False
    oldest_first: bool = False
