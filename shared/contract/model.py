"""The canonical model: what every dialect is translated to and from.

What comes by the thousand and holds nothing that could hold it again is spared the search for cycles (`gc=False`)."""

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
    """A stored file. `id` is the last part of its address (128 random bits, hex); `size` in bytes; `packages`: in how
    many binary frames its uploader sent it, 0 if it did not come so."""

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
    """Comes after the segments of a message, where the dialect it was said in must be known again."""

    dialect: str


class Body(msgspec.Struct, frozen=True, gc=False):
    """What a message's body holds; `dialect` is empty where it was not marked."""

    segments: tuple[Segment, ...]
    dialect: str


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[Segment | DialectTag, ...]).decode


def pack_segments(segments: tuple[Segment, ...], dialect: str = "") -> bytes:
    """The stored and transported form: services in between never look inside."""
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
    strictly growing within the chat; `body` is what `pack_segments` made."""

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    body: bytes
    nonce: Nonce


# Accounts


class Scheme(StrEnum):
    """How the client hashed the password before it sent it."""

    PLAIN = "plain"
    MD5 = "md5"
    SHA256 = "sha256"
    SERVICE = "service"
    """A service client's own secret: no password elsewhere."""


class Secret(msgspec.Struct, array_like=True, frozen=True):
    """A password as sent. Hash schemes hold lower-case hex."""

    scheme: Scheme
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.scheme}, ***)"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One account as others see it. Times are Unix milliseconds. `avatar` is an http(s) address, the path of a picture
    that every edge serves, or empty for the generated one."""

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
    """Moves with the profile."""
    private_updated: int = 0
    """Moves with chats and friends."""
    deleted: bool = False


class ProfileSummary(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What dialects show of a message's sender beside its number."""

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
    """A tombstone in the membership's history, never a member."""
    MEMBER = 1
    ADMIN = 2
    OWNER = 3


MemberPair = tuple[AccountId, AccountId]
"""The two people of a private chat, the lower number first."""


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One chat without its members. Times are Unix milliseconds. An empty `avatar` means: the generated one.
    `version` grows with every change of the membership."""

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
