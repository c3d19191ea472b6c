"""native, both directions: `forward`, `reactors`, `read`, `readers`, `unread`, `report` and `search`. Members that may
be UNSET are left out then."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.parameters import EMOJI_BYTES, Index, IndexParameters, Number, Parameters
from services.edge.dialects.native.results import ErrorInfo
from shared.contract.ids import AccountId, ChatId
from shared.contract.reactions import MAX_REACTORS, FindReactors, Reactors
from shared.contract.reports import OwnReport, ReportMessage
from shared.contract.search import MAX_HITS, MAX_QUERY


class ForwardInfo(msgspec.Struct):
    """Of one chat: the place of the message, or the failure. `again`: the command was a repetition."""

    chat: int
    index: int | UnsetType = UNSET
    id: int | UnsetType = UNSET
    time: int | UnsetType = UNSET
    again: bool | UnsetType = UNSET
    failure: ErrorInfo | UnsetType = UNSET


class ForwardResult(msgspec.Struct):
    """In the order of the command."""

    results: list[ForwardInfo]


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


def find_reactors(wire: ReactorsParameters, _: object) -> FindReactors:
    return FindReactors(ChatId(wire.chat), wire.index, wire.emoji, AccountId(wire.after), wire.count)


def reactors_found(reply: Reactors) -> ReactorsResult:
    return ReactorsResult([ReactorInfo(one.account, one.emojis) for one in reply.reactors], reply.more)


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


class ReportParameters(IndexParameters, kw_only=True):
    """A message of another account, which the operator then sees with the `reason`."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000, examples=["insults"])]


class ReportInfo(msgspec.Struct):
    """`time`: of the report, Unix milliseconds."""

    chat: int
    index: int
    reason: str
    time: int


def report(wire: ReportParameters, _: object) -> ReportMessage:
    return ReportMessage(ChatId(wire.chat), wire.index, wire.reason)


def report_info(report: OwnReport) -> ReportInfo:
    return ReportInfo(report.chat, report.index, report.reason, report.reported)


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
