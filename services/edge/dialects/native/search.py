"""native, both directions: `search`. Members that may be UNSET are left out then."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.parameters import Number, Parameters
from shared.contract.search import MAX_HITS, MAX_QUERY

_Time = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1, examples=[1_795_263_300_000])]


class SearchParameters(Parameters, kw_only=True):
    """All words of `query` are in a message that is found. `from`: an account. `before`, `after`: Unix milliseconds.
    `page`: of the reply before."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_QUERY, examples=["lake tomorrow"])]
    chat: Number | None = None
    sender: Number | None = msgspec.field(default=None, name="from")
    before: _Time | None = None
    after: _Time | None = None
    has: Literal["image", "file", "link"] | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_HITS, examples=[10])] = 20
    page: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,16}-[0-9]{1,16}$", examples=["1795263300000-12"])] | None = None


class FoundMessage(msgspec.Struct):
    """`snippet`: part of the text as it is now. `marks`: position and length of what was found in it, in characters
    (code points)."""

    chat: int
    index: int
    id: int
    sender: int
    time: int
    snippet: str
    marks: list[tuple[int, int]]


class SearchResult(msgspec.Struct):
    """The newest first. `indexed_to`: messages sent until then (Unix milliseconds) are searched. `page`: there may be
    more, even if there are few hits."""

    hits: list[FoundMessage]
    indexed_to: int
    page: str | UnsetType = UNSET
