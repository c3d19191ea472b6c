"""The canonical model, which every dialect is translated to and from.

Frequent types that cannot be part of a reference cycle are excluded from cyclic garbage collection (`gc=False`)."""

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce

# Segments


class Text(msgspec.Struct, tag="t", array_like=True, frozen=True, gc=False):
    text: str


class Emoji(msgspec.Struct, tag="e", array_like=True, frozen=True):
    emoji_id: int


class Media(msgspec.Struct, array_like=True, frozen=True):
    """A stored file. `id`: the last part of its address (128 random bits, hex). `size`: bytes. `packages`: the number
    of binary frames of its upload, 0 for another kind of upload."""

    id: str
    name: str
    size: int
    sha256: str
    mime: str
    packages: int = 0


class Image(msgspec.Struct, tag="i", array_like=True, frozen=True):
    media: Media


class File(msgspec.Struct, tag="f", array_like=True, frozen=True):
    media: Media


class Recalled(msgspec.Struct, tag="r", array_like=True, frozen=True, gc=False):
    """The only segment of a recalled message. Never packed as such: see RECALLED_BODY."""


class Mention(msgspec.Struct, tag="m", array_like=True, frozen=True):
    """A user who is mentioned. Packed as a text, which every version shows, and marked in the body's tag."""

    account: AccountId
    text: str


PackedSegment = Text | Emoji | Image | File
Segment = PackedSegment | Recalled
RichSegment = Segment | Mention
"""What a client of a dialect with mentions gets and sends."""


class DialectTag(msgspec.Struct, tag="d", array_like=True, frozen=True):
    """Follows the segments of a message whose dialect must be known later, or that was edited or recalled."""

    dialect: str


class MarkedTag(msgspec.Struct, tag="d", array_like=True, frozen=True):
    """A DialectTag of a message that replies to another one or mentions users: versions that do not know the marks see
    a DialectTag. `mentions`: the position of each such text, and its mark."""

    dialect: str
    reply: bytes = b""
    mentions: tuple[tuple[int, bytes], ...] = ()


class Quote(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One line for dialects without replies: the sender's name and the beginning of the message that is replied to, as
    it was when this line was made. Never stored."""

    name: str
    text: str


class Body(msgspec.Struct, frozen=True, gc=False):
    """An unpacked message body; `dialect` is empty for a body without a tag. `segments` have each mention as its text;
    `rich`: with mentions, None without one. `reply_to`: the index of the message that it replies to, or 0."""

    segments: tuple[Segment, ...]
    dialect: str
    edited: bool = False
    rich: tuple[RichSegment, ...] | None = None
    reply_to: int = 0


_EDITED, _RECALLED = "edited", "recalled"
"""Tags that no dialect has for a name, so that no client can pack them."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[PackedSegment | MarkedTag, ...]).decode
_REPLY, _MENTION = b"\xff\xfereply", b"\xff\xfemention"
"""Marks begin so: no text holds these bytes, and no number is long enough. A body is searched for them unpacked."""
_NUMBER_BYTES = 8

EXPIRED_BODY = _pack((Text("[消息已过期]"),))
"""Replaces the body of a message whose time is over. A text, which every dialect and version shows."""

RECALLED_BODY = _pack((Text("[撤回]"), DialectTag(_RECALLED)))
"""Replaces the body of a recalled message. A text, which every version shows."""


def pack_segments(segments: tuple[RichSegment, ...], dialect: str = "", reply_to: int = 0) -> bytes:
    """The stored and transported form, which services never unpack. `reply_to`: the index of another message of the
    chat, or 0."""
    if reply_to or Mention in map(type, segments):
        return _pack_marked(segments, dialect, _REPLY + _number(reply_to) if reply_to else b"")
    return _pack((*segments, DialectTag(dialect)) if dialect else segments)


def _pack_marked(segments: tuple[RichSegment, ...], dialect: str, reply: bytes) -> bytes:
    texts = [Text(one.text) if isinstance(one, Mention) else one for one in segments]
    mentions = [(at, mention_mark(one.account)) for at, one in enumerate(segments) if isinstance(one, Mention)]
    return _pack((*texts, MarkedTag(dialect, reply, tuple(mentions))))


def mention_mark(account: AccountId) -> bytes:
    """The bytes that the bodies of messages have which mention this account, and no others."""
    return _MENTION + _number(account)


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "big")


def reply_target(body: bytes) -> int:
    """The index of the message that this one replies to, or 0. Needs no unpacking."""
    start = body.find(_REPLY)
    return int.from_bytes(body[start + len(_REPLY) :][:_NUMBER_BYTES], "big") if start >= 0 else 0


def pack_edited(segments: tuple[RichSegment, ...]) -> bytes:
    """The new text of a message."""
    return pack_segments(segments, _EDITED)


def with_reply_of(edited: bytes, former: bytes) -> bytes:
    """The body of an edited message, which replies to what it replied to before."""
    if not (target := reply_target(former)):
        return edited
    *parts, tag = _unpack(edited)
    assert isinstance(tag, MarkedTag)
    return _pack((*parts, MarkedTag(tag.dialect, _REPLY + _number(target), tag.mentions)))


def unpack(body: bytes) -> Body:
    parts: tuple[Any, ...] = _unpack(body)
    if not parts or type(mark := parts[-1]) is not MarkedTag:
        return Body(parts, "")
    if mark.dialect == _RECALLED:
        return Body((Recalled(),), "")
    edited, segments = mark.dialect == _EDITED, parts[:-1]
    dialect = "" if edited else mark.dialect
    if not (mark.reply or mark.mentions):
        return Body(segments, dialect, edited)
    accounts = {at: AccountId(int.from_bytes(found[len(_MENTION) :], "big")) for at, found in mark.mentions}
    rich = tuple([
        Mention(accounts[at], one.text) if at in accounts and isinstance(one, Text) else one
        for at, one in enumerate(segments)
    ])  # fmt: skip
    reply_to = int.from_bytes(mark.reply[len(_REPLY) :], "big")
    return Body(_joined(rich), dialect, edited, rich if accounts else None, reply_to)


def _joined(rich: tuple[RichSegment, ...]) -> tuple[Segment, ...]:
    """Mentions are one text with the texts around them."""
    plain: list[Segment] = []
    joins = False
    for one in rich:
        is_mention = isinstance(one, Mention)
        text = Text(one.text) if isinstance(one, Mention) else one
        last = plain[-1] if plain else None
        if isinstance(text, Text) and isinstance(last, Text) and (is_mention or joins):
            plain[-1] = Text(last.text + text.text)
        else:
            plain.append(text)
        joins = is_mention
    return tuple(plain)


def unpack_segments(body: bytes) -> tuple[Segment, ...]:
    return unpack(body).segments


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message. `index` counts 1, 2, 3 … within the chat; `time` is the server's, Unix milliseconds,
    strictly increasing within the chat; `body` comes from `pack_segments`."""

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    body: bytes
    nonce: Nonce


def requested_message(found: Sequence[Message], index: int, field: str = "index") -> Message:
    """The one message of a page that was requested by its index. Raises RequestError about the `field` without it."""
    if [one.index for one in found] != [index]:
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such message", field)
    return found[0]


def requested_content(found: Sequence[Message], index: int) -> Message:
    """As `requested_message`. Raises RequestError of a recalled message, too."""
    message = requested_message(found, index)
    if message.body == RECALLED_BODY:
        raise RequestError(ErrorCode.NOT_FOUND, "this message was recalled", "index")
    return message


# Accounts


class Scheme(StrEnum):
    """The client's hashing of the password before it sent it."""

    PLAIN = "plain"
    MD5 = "md5"
    SHA256 = "sha256"
    SERVICE = "service"
    """The secret of a service client, valid only in that dialect."""


class Secret(msgspec.Struct, array_like=True, frozen=True):
    """A password as sent. Hash schemes hold lower-case hex."""

    scheme: Scheme
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.scheme}, ***)"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The public profile of an account. Times are Unix milliseconds. `avatar`: an http(s) address, the path of a
    picture that every edge serves, or empty for the generated one."""

    id: AccountId
    uuid: str
    nickname: str
    avatar: str = ""
    avatar_hash: str = ""
    icon_id: int = 0
    signature: str = ""
    vip: int = 0
    status: int = 0
    created: int = 0
    public_updated: int = 0
    """Changes with the profile."""
    private_updated: int = 0
    """Changes with chats and friends."""
    deleted: bool = False
    bot: bool = False
    """The account is a program's, made by a user or an operator."""


class ProfileSummary(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The part of a sender's profile that dialects show with a message."""

    nickname: str
    uuid: str


# Chats


class ChatKind(StrEnum):
    PRIVATE = "private"
    GROUP = "group"
    SERVICE = "service"


class JoinPolicy(StrEnum):
    OPEN = "open"
    APPROVAL = "approval"
    CLOSED = "closed"


class Role(IntEnum):
    LEFT = 0
    """A former member: a tombstone in the membership's history."""
    MEMBER = 1
    ADMIN = 2
    OWNER = 3


MemberPair = tuple[AccountId, AccountId]
"""The two members of a private chat, the lower number first."""


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One chat without its members. Times are Unix milliseconds. An empty `avatar` means the generated one.
    `version` increases with every change of the membership."""

    id: ChatId
    kind: ChatKind
    name: str
    owner: AccountId
    join_policy: JoinPolicy
    avatar: str = ""
    avatar_hash: str = ""
    created: int = 0
    updated: int = 0
    version: int = 1
    receipts: bool = True
    """Members see what the others have read."""
    topic: str = ""
