"""The dialect native: the operations of messages: sending, changing, reading, searching."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import CountUnread, EditMessage, ForwardMessage, MarkChatRead, PostMessage
from services.edge.canonical.replies import (
    ChatMarkedRead,
    ForwardedMessage,
    MessageAccepted,
    MessagesForwarded,
    MessagesFound,
)
from services.edge.dialects import validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native import encode
from services.edge.dialects.native.encode import if_set
from services.edge.dialects.native.errors import failure_info
from services.edge.dialects.native.operation import EXPENSIVE, MANAGES, REACTS, READS, SENDS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import (
    LARGEST,
    Account,
    AnyAccount,
    AnyChat,
    Chat,
    ErrorInfo,
    Index,
    IndexParameters,
    MediaId,
    MessageText,
    NextAfter,
    Nonce,
    NoParameters,
    Nothing,
    Parameters,
)
from shared.contract.admin import ReportMessage
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.message import ChangeMessage, PinMessage, React, RecallText, Unread
from shared.contract.model import Emoji, File, Image, Media, Mention, RichSegment, Text
from shared.contract.receipts import MAX_REACTORS, FindReactors, FindReaders, Reactors, Readers
from shared.contract.search import MAX_CONTEXT, MAX_HITS, MAX_QUERY, ContentKind, SearchMessages
from shared.message_event import ShownMessage

# Content


class TextSegment(msgspec.Struct, tag_field="t", tag="text"):
    text: MessageText


class EmojiSegment(msgspec.Struct, tag_field="t", tag="emoji"):
    id: Index


class ImageReference(msgspec.Struct, tag_field="t", tag="image"):
    """`media`: the `id` from the reply to an upload. If the name is empty, the file keeps the name of its upload.
    `hash`: at most 32 bytes in base64, such as a ThumbHash, which other clients show while they load the picture.
    `preview`: the `id` of an upload with a smaller picture (PNG, JPEG, GIF or WebP, at most 1280 pixels wide and high,
    and 1 MiB). A preview whose `width` the upload's reply lacks is left out."""

    media: MediaId
    name: Annotated[str, msgspec.Meta(examples=["map.pdf"])] = ""
    hash: Annotated[str, msgspec.Meta(pattern="^([A-Za-z0-9+/_-]{1,43}=?)?$", examples=["1QcSHQRnh493V4dIh4eX"])] = ""
    preview: MediaId | None = None


class FileReference(msgspec.Struct, tag_field="t", tag="file"):
    media: MediaId
    name: Annotated[str, msgspec.Meta(examples=["map.pdf"])] = ""


class MentionSegment(msgspec.Struct, tag_field="t", tag="mention"):
    """`text`: the text that dialects without mentions show, such as `@Ann`."""

    account: Account
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["@Ann"])]


DraftSegment = TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment


class SendParameters(Parameters, kw_only=True):
    """The command has either `chat` or `to`, which is the other account of a private chat. It has either `text` or
    `segments`. `reply_to`: the index of another message in the chat. `draft`: the `rev` of the account's draft that is
    sent by this command, and so removed."""

    nonce: Nonce
    chat: AnyChat = ChatId(0)
    to: AnyAccount = NO_ACCOUNT
    text: MessageText = ""
    segments: list[DraftSegment] = msgspec.field(default_factory=list)
    reply_to: Index = 0
    draft: Index = 0


class SendResult(msgspec.Struct):
    """The message is stored. `again`: whether an earlier command with the same nonce has stored it."""

    chat: int
    index: int
    id: int
    time: int
    again: bool | UnsetType = UNSET


class EditParameters(IndexParameters, kw_only=True):
    """The command has either `text` or `segments`. With `if_rev`, the edit succeeds only if the message was not edited
    after this `rev`."""

    nonce: Nonce
    text: MessageText = ""
    segments: list[DraftSegment] = msgspec.field(default_factory=list)
    if_rev: Index | None = None


def _send(wire: SendParameters, caller: Caller) -> PostMessage:
    if bool(wire.chat) is bool(wire.to):
        raise DecodeError("either `chat` or `to` names the recipient", field="chat")
    segments, references = _content(wire, caller)
    return PostMessage(
        wire.chat, segments, wire.to, references, nonce=wire.nonce, reply_to=wire.reply_to, draft=wire.draft
    )


def _sent(reply: MessageAccepted, _: Caller) -> SendResult:
    """The result of `send`. `encode.sent` encodes the same value together with the id of the command."""
    one = reply.message
    return SendResult(one.chat, one.index, one.id, one.time, reply.again or UNSET)


def _edit(wire: EditParameters, caller: Caller) -> EditMessage:
    segments, references = _content(wire, caller)
    return EditMessage(wire.chat, wire.index, segments, wire.nonce, references, wire.if_rev)


def _content(wire: SendParameters | EditParameters, caller: Caller) -> tuple[tuple[RichSegment, ...], bool]:
    """The segments of the message, and whether one of them is an uploaded file."""
    if bool(wire.text) is bool(wire.segments):
        raise DecodeError("either `text` or `segments` is the message", field="text")
    segments = tuple(map(_segment, wire.segments)) if wire.segments else (Text(wire.text),)
    references = any(isinstance(segment, Image | File) for segment in segments)
    field = "segments" if wire.segments else "text"
    return validation.message_text(segments, caller.limits, field), references


def _segment(wire: DraftSegment) -> RichSegment:
    match wire:
        case TextSegment(text):
            return Text(text)
        case EmojiSegment(number):
            return Emoji(number)
        case ImageReference(media, name, digest, preview):
            return Image(Media(media, name, 0, "", ""), digest, preview or "")
        case FileReference(media, name):
            return File(Media(media, name, 0, "", ""))
        case MentionSegment(account, text):
            return Mention(account, text)


class ForwardParameters(IndexParameters, kw_only=True):
    """`into`: the chats to which the message is forwarded."""

    into: Annotated[list[Chat], msgspec.Meta(min_length=1, max_length=20)]
    nonce: Nonce


class ForwardInfo(msgspec.Struct):
    """The result for one chat. It is the place of the message, or the failure. `again`: whether an earlier command has
    stored it."""

    chat: int
    index: int | UnsetType = UNSET
    id: int | UnsetType = UNSET
    time: int | UnsetType = UNSET
    again: bool | UnsetType = UNSET
    failure: ErrorInfo | UnsetType = UNSET


class ForwardResult(msgspec.Struct):
    """The results for the chats, in the order of the command."""

    results: list[ForwardInfo]


def _forwarded(reply: MessagesForwarded, _: Caller) -> ForwardResult:
    return ForwardResult([*map(_forwarded_to, reply.results)])


def _forwarded_to(one: ForwardedMessage) -> ForwardInfo:
    if one.posted is None:
        failure = UNSET if one.failure is None else failure_info(one.failure, has_effect=True)
        return ForwardInfo(one.chat, failure=failure)
    return ForwardInfo(one.chat, one.posted.index, one.posted.id, one.posted.time, one.again or UNSET)


# Changes


class ReactParameters(IndexParameters, kw_only=True):
    """`emoji`: one emoji of at most 32 code points, or another text of at most 32 bytes of UTF-8 without white space
    and control characters. Variation selectors make no difference, because the server stores and shows the
    fully-qualified form of Unicode."""

    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=validation.EMOJI_BYTES, examples=["👍"])]


class ChangeResult(msgspec.Struct):
    """The change is stored, by this command or an earlier one."""

    rev: int
    time: int


class ReactResult(msgspec.Struct):
    """`count`: how many accounts have reacted with the emoji."""

    rev: int
    count: int


def _reaction(wire: ReactParameters, *, on: bool) -> ChangeMessage:
    return ChangeMessage(wire.chat, wire.index, React(validation.reaction(wire.emoji), on))


class ReactorsParameters(IndexParameters, kw_only=True):
    """`emoji`: list only reactions with this emoji. `after`: the last account of the previous page."""

    emoji: Annotated[str, msgspec.Meta(max_length=validation.EMOJI_BYTES, examples=["👍"])] = ""
    after: AnyAccount = NO_ACCOUNT
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_REACTORS, examples=[50])] = MAX_REACTORS


class ReactorInfo(msgspec.Struct):
    """`emojis`: the requested emoji with which the account has reacted."""

    account: int
    emojis: list[str]


class ReactorsResult(msgspec.Struct):
    """The accounts with reactions, in ascending order. Some accounts may have left the chat."""

    reactors: list[ReactorInfo]
    more: bool
    next: NextAfter | UnsetType = UNSET


def _reactors(page: Reactors, _: Caller) -> ReactorsResult:
    reactors = [ReactorInfo(one.account, one.emojis) for one in page.reactors]
    return ReactorsResult(reactors, page.more, NextAfter(reactors[-1].account) if page.more else UNSET)


# Reading


class ReadParameters(IndexParameters, kw_only=True):
    pass


class ReadResult(msgspec.Struct):
    """`index`: all messages up to this index are read now. The index is higher than requested if another connection has
    read more. It is never higher than the index of the last message. `unread`: the number of unread messages in the
    chat. `mentions`: how many of these mention the account. Both are left out if they are unknown."""

    unread: int | UnsetType = UNSET
    mentions: int | UnsetType = UNSET
    index: int | UnsetType = UNSET


class ReadersParameters(IndexParameters, kw_only=True):
    """`after`: the last account of the previous page."""

    after: AnyAccount = NO_ACCOUNT


class ReadersResult(msgspec.Struct):
    """`count`: how many members have read the message. The sender is not counted."""

    count: int
    accounts: list[int]
    more: bool
    next: NextAfter | UnsetType = UNSET


def _readers(page: Readers, _: Caller) -> ReadersResult:
    return ReadersResult(page.count, [*page.accounts], page.more, NextAfter(page.accounts[-1]) if page.more else UNSET)


class UnreadChat(msgspec.Struct):
    """`unread`: the number of unread messages. `mentions`: how many of these mention the account."""

    chat: int
    unread: int
    mentions: int


class UnreadResult(msgspec.Struct):
    """`total` and `mentions` are the sums over all chats. `chats`: the chats with unread messages."""

    total: int
    mentions: int
    chats: list[UnreadChat]


def _read(reply: ChatMarkedRead, _: Caller) -> ReadResult:
    return ReadResult() if reply.unread is None else ReadResult(*reply.unread, if_set(reply.index))


def _unread(reply: Unread, _: Caller) -> UnreadResult:
    chats = [UnreadChat(chat, *counts) for chat, counts in sorted(reply.chats.items())]
    return UnreadResult(reply.total, sum(chat.mentions for chat in chats), chats)


class ReportParameters(IndexParameters, kw_only=True):
    """Report a message of another account to the operator, with the `reason`."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000, examples=["insults"])]


class ReportInfo(msgspec.Struct):
    """`time`: when the report was made, in Unix milliseconds."""

    chat: int
    index: int
    reason: str
    time: int


MESSAGE_OPERATIONS = (
    Operation("send", "send a message", WRITE, SENDS, SendParameters, SendResult, _send, _sent),
    Operation(
        "forward", "send the content of a message to other chats",
        EXPENSIVE, SENDS | READS, ForwardParameters, ForwardResult,
        lambda wire, _: ForwardMessage(wire.chat, wire.index, tuple(dict.fromkeys(wire.into)), wire.nonce), _forwarded,
    ),
    Operation("edit", "replace a message that the account has sent", WRITE, SENDS, EditParameters, ChangeResult, _edit),
    Operation(
        "recall", "remove the content of a message for everybody",
        WRITE, SENDS, IndexParameters, ChangeResult, lambda wire, _: ChangeMessage(wire.chat, wire.index, RecallText()),
    ),
    Operation(
        "react", "add a reaction",
        WRITE, REACTS, ReactParameters, ReactResult, lambda wire, _: _reaction(wire, on=True),
    ),
    Operation(
        "unreact", "remove a reaction",
        WRITE, REACTS, ReactParameters, ReactResult, lambda wire, _: _reaction(wire, on=False),
    ),
    Operation(
        "reactors", "list the accounts that have reacted to a message",
        EXPENSIVE, READS, ReactorsParameters, ReactorsResult,
        lambda wire, _: FindReactors(wire.chat, wire.index, wire.emoji, wire.after, wire.count), _reactors,
    ),
    Operation(
        "pin", "pin a message",
        WRITE, MANAGES, IndexParameters, ChangeResult,
        lambda wire, _: ChangeMessage(wire.chat, wire.index, PinMessage(on=True)),
    ),
    Operation(
        "unpin", "unpin a message",
        WRITE, MANAGES, IndexParameters, ChangeResult,
        lambda wire, _: ChangeMessage(wire.chat, wire.index, PinMessage(on=False)),
    ),
    Operation(
        "report", "report a message",
        WRITE, MANAGES, ReportParameters, Nothing, lambda wire, _: ReportMessage(wire.chat, wire.index, wire.reason),
    ),
    Operation(
        "read", "mark the messages up to an index as read",
        WRITE, READS, ReadParameters, ReadResult,
        lambda wire, _: MarkChatRead(wire.chat, wire.index, counts=wire.id is not None), _read,
    ),
    Operation(
        "readers", "list the members that have read a message, in groups of at most 500",
        EXPENSIVE, READS, ReadersParameters, ReadersResult,
        lambda wire, _: FindReaders(wire.chat, wire.index, wire.after), _readers,
    ),
    Operation(
        "unread", "count the unread messages, and those that mention the account",
        EXPENSIVE, READS, NoParameters, UnreadResult, lambda *_: CountUnread(), _unread,
    ),
)  # fmt: skip


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
