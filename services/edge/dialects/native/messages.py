"""native: the operations of messages: sending, changing, reading."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import CountUnread, EditMessage, ForwardMessage, MarkChatRead, PostMessage
from services.edge.canonical.replies import ChatMarkedRead, ForwardedMessage, MessageAccepted, MessagesForwarded
from services.edge.dialects import validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native.encode import if_set
from services.edge.dialects.native.errors import failure_info
from services.edge.dialects.native.operation import (
    EXPENSIVE,
    MANAGES,
    REACTS,
    READS,
    SENDS,
    WRITE,
    Caller,
    Operation,
)
from services.edge.dialects.native.shapes import (
    EMOJI_BYTES,
    Account,
    AnyAccount,
    AnyChat,
    Chat,
    ErrorInfo,
    Index,
    IndexParameters,
    MediaId,
    MessageText,
    Nonce,
    NoParameters,
    Nothing,
    Parameters,
)
from shared.contract.admin import ReportMessage
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.message import ChangeMessage, PinMessage, React, RecallText, Unread
from shared.contract.model import Emoji, File, Image, Media, Mention, RichSegment, Text
from shared.contract.receipts import MAX_REACTORS, FindReactors, FindReaders
from shared.emoji import is_one_cluster

_JOINER = "\u200d"
_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))

# Content


class TextSegment(msgspec.Struct, tag_field="t", tag="text"):
    text: MessageText


class EmojiSegment(msgspec.Struct, tag_field="t", tag="emoji"):
    id: Index


class ImageReference(msgspec.Struct, tag_field="t", tag="image"):
    """`media`: the `id` of the reply to an upload. An empty name is the uploaded one."""

    media: MediaId
    name: Annotated[str, msgspec.Meta(examples=["map.pdf"])] = ""


class FileReference(msgspec.Struct, tag_field="t", tag="file"):
    media: MediaId
    name: Annotated[str, msgspec.Meta(examples=["map.pdf"])] = ""


class MentionSegment(msgspec.Struct, tag_field="t", tag="mention"):
    """`text`: what dialects without mentions show, such as `@Ann`."""

    account: Account
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["@Ann"])]


DraftSegment = TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment


class SendParameters(Parameters, kw_only=True):
    """To `chat`, or (`to`) to the private chat with an account. Either `text` or `segments`. `reply_to`: the index of
    another message of the chat."""

    nonce: Nonce
    chat: AnyChat = ChatId(0)
    to: AnyAccount = NO_ACCOUNT
    text: MessageText = ""
    segments: list[DraftSegment] = msgspec.field(default_factory=list)
    reply_to: Index = 0


class SendResult(msgspec.Struct):
    """The message is stored. `again`: an earlier command with this nonce has stored it."""

    chat: int
    index: int
    id: int
    time: int
    again: bool | UnsetType = UNSET


class EditParameters(IndexParameters, kw_only=True):
    """Either `text` or `segments`. `if_rev`: only if the message was not edited after this `rev`."""

    nonce: Nonce
    text: MessageText = ""
    segments: list[DraftSegment] = msgspec.field(default_factory=list)
    if_rev: Index | None = None


def _send(wire: SendParameters, caller: Caller) -> PostMessage:
    if bool(wire.chat) is bool(wire.to):
        raise DecodeError("either `chat` or `to` names the recipient", field="chat")
    segments, references = _content(wire, caller)
    return PostMessage(wire.chat, segments, wire.to, references, nonce=wire.nonce, reply_to=wire.reply_to)


def _sent(reply: MessageAccepted, _: Caller) -> SendResult:
    """What `encode.sent` encodes with the id of the command."""
    one = reply.message
    return SendResult(one.chat, one.index, one.id, one.time, reply.again or UNSET)


def _edit(wire: EditParameters, caller: Caller) -> EditMessage:
    segments, references = _content(wire, caller)
    return EditMessage(wire.chat, wire.index, segments, wire.nonce, references, wire.if_rev)


def _content(wire: SendParameters | EditParameters, caller: Caller) -> tuple[tuple[RichSegment, ...], bool]:
    """The segments, and whether they cite media."""
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
        case ImageReference(media, name):
            return Image(Media(media, name, 0, "", ""))
        case FileReference(media, name):
            return File(Media(media, name, 0, "", ""))
        case MentionSegment(account, text):
            return Mention(account, text)


class ForwardParameters(IndexParameters, kw_only=True):
    """`into`: chats."""

    into: Annotated[list[Chat], msgspec.Meta(min_length=1, max_length=20)]
    nonce: Nonce


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


def _forwarded(reply: MessagesForwarded, _: Caller) -> ForwardResult:
    return ForwardResult([*map(_forwarded_to, reply.results)])


def _forwarded_to(one: ForwardedMessage) -> ForwardInfo:
    if one.posted is None:
        failure = UNSET if one.failure is None else failure_info(one.failure, has_effect=True)
        return ForwardInfo(one.chat, failure=failure)
    return ForwardInfo(one.chat, one.posted.index, one.posted.id, one.posted.time, one.again or UNSET)


# Changes


class ReactParameters(IndexParameters, kw_only=True):
    """`emoji`: one emoji of at most 32 code points, or at most 32 bytes of UTF-8, without white space and control
    characters. Variation selectors make no difference: it is stored, and shown, as Unicode's fully-qualified form."""

    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=EMOJI_BYTES, examples=["👍"])]


class ChangeResult(msgspec.Struct):
    """The change is stored, now or by an earlier command."""

    rev: int
    time: int


class ReactResult(msgspec.Struct):
    """`count`: the accounts that have reacted with the emoji."""

    rev: int
    count: int


def _reaction(wire: ReactParameters, *, on: bool) -> ChangeMessage:
    if len(wire.emoji.encode()) > EMOJI_BYTES and not is_one_cluster(wire.emoji):
        text = f"a reaction is one emoji, or has at most {EMOJI_BYTES} bytes"
        raise DecodeError(text, ErrorCode.TOO_LARGE, field="emoji")
    if not all(map(_is_shown, wire.emoji)):
        raise DecodeError("an emoji has no white space and no control characters", field="emoji")
    return ChangeMessage(wire.chat, wire.index, React(wire.emoji, on))


def _is_shown(character: str) -> bool:
    """Emoji are joined, and flags of regions tagged, by characters that are not printed."""
    return (character.isprintable() and character != " ") or character == _JOINER or character in _TAGS


class ReactorsParameters(IndexParameters, kw_only=True):
    """`emoji`: of this reaction alone. `after`: the last account of the page before."""

    emoji: Annotated[str, msgspec.Meta(max_length=EMOJI_BYTES, examples=["👍"])] = ""
    after: AnyAccount = NO_ACCOUNT
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_REACTORS, examples=[50])] = MAX_REACTORS


class ReactorInfo(msgspec.Struct):
    """`emojis`: with which the account has reacted, of those that were requested."""

    account: int
    emojis: list[str]


class ReactorsResult(msgspec.Struct):
    """Ascending by account; it may have left the chat. `more`: request the next page with `after`, the last account."""

    reactors: list[ReactorInfo]
    more: bool


# Reading


class ReadParameters(IndexParameters, kw_only=True):
    pass


class ReadResult(msgspec.Struct):
    """`index`: everything up to it is read now: more than was asked for if another connection has read more, and the
    last message if that was beyond it. `unread`: messages of others in the chat that are left; `mentions`: those of
    them that mention the account. What is left out is not known."""

    unread: int | UnsetType = UNSET
    mentions: int | UnsetType = UNSET
    index: int | UnsetType = UNSET


class ReadersParameters(IndexParameters, kw_only=True):
    """`after`: the last account of the page before."""

    after: AnyAccount = NO_ACCOUNT


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


def _read(reply: ChatMarkedRead, _: Caller) -> ReadResult:
    return ReadResult() if reply.unread is None else ReadResult(*reply.unread, if_set(reply.index))


def _unread(reply: Unread, _: Caller) -> UnreadResult:
    chats = [UnreadChat(chat, *counts) for chat, counts in sorted(reply.chats.items())]
    return UnreadResult(reply.total, sum(chat.mentions for chat in chats), chats)


class ReportParameters(IndexParameters, kw_only=True):
    """A message of another account, which the operator then sees with the `reason`."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000, examples=["insults"])]


class ReportInfo(msgspec.Struct):
    """`time`: of the report, Unix milliseconds."""

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
    Operation("edit", "replace an own message", WRITE, SENDS, EditParameters, ChangeResult, _edit),
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
        "reactors", "the accounts that have reacted to a message",
        EXPENSIVE, READS, ReactorsParameters, ReactorsResult,
        lambda wire, _: FindReactors(wire.chat, wire.index, wire.emoji, wire.after, wire.count),
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
        "readers", "the members that have read a message, in groups of at most 500",
        EXPENSIVE, READS, ReadersParameters, ReadersResult,
        lambda wire, _: FindReaders(wire.chat, wire.index, wire.after),
    ),
    Operation(
        "unread", "the numbers of unread messages, and of those that mention the account",
        EXPENSIVE, READS, NoParameters, UnreadResult, lambda *_: CountUnread(), _unread,
    ),
)  # fmt: skip
