"""The canonical model, which every dialect is translated to and from.

Frequent types that cannot be part of a reference cycle are excluded from cyclic garbage collection (`gc=False`)."""

from collections.abc import Sequence
from enum import IntEnum, StrEnum

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


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message. `index` counts 1, 2, 3 … within the chat; `time` is the server's, Unix milliseconds,
    strictly increasing within the chat; `body` comes from `shared.contract.body`."""

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
    edit_seconds: int | None = None
    recall_seconds: int | None = None
    """For how long after a message its sender may edit or recall it, but never longer than the operator allows; None:
    as long as the operator allows."""
    history_for_new: bool | None = None
    """Those who join from now on see the messages from before; None: in an open group alone."""
