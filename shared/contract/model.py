"""The canonical model, which every dialect is translated to and from.

Frequent types that cannot be part of a reference cycle are excluded from cyclic garbage collection (`gc=False`)."""

from enum import IntEnum, StrEnum
from typing import Any

import msgspec

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


Segment = Text | Emoji | Image | File


class DialectTag(msgspec.Struct, tag="d", array_like=True, frozen=True):
    """Follows the segments of a message whose dialect must be known later."""

    dialect: str


class Body(msgspec.Struct, frozen=True, gc=False):
    """An unpacked message body; `dialect` is empty for a body without a tag."""

    segments: tuple[Segment, ...]
    dialect: str


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[Segment | DialectTag, ...]).decode


def pack_segments(segments: tuple[Segment, ...], dialect: str = "") -> bytes:
    """The stored and transported form, which services never unpack."""
    return _pack((*segments, DialectTag(dialect)) if dialect else segments)


def unpack(body: bytes) -> Body:
    parts: tuple[Any, ...] = _unpack(body)
    if parts and type(mark := parts[-1]) is DialectTag:
        return Body(parts[:-1], mark.dialect)
    return Body(parts, "")


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
