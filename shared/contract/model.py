"""The canonical model. Every dialect is translated into it and from it.

Frequent types that cannot be part of a reference cycle are excluded from cyclic garbage collection (`gc=False`)."""

import re
from collections.abc import Sequence
from enum import Enum, IntEnum, StrEnum
from typing import Any

import msgspec

from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce

# Segments


class Text(msgspec.Struct, tag="t", array_like=True, frozen=True, gc=False):
    text: str


class Emoji(msgspec.Struct, tag="e", array_like=True, frozen=True):
    emoji_id: int


class Media(msgspec.Struct, array_like=True, frozen=True):
    """A stored file. `id`: the last part of its address (128 random bits, hex). `size`: bytes. `packages`: the number
    of binary frames in which it was uploaded; 0 for another kind of upload. `width`, `height`: pixels of a picture; 0
    if unknown."""

    id: str
    name: str
    size: int
    sha256: str
    mime: str
    packages: int = 0
    width: int = 0
    height: int = 0


class Image(msgspec.Struct, tag="i", array_like=True, frozen=True):
    """`hash`: a few bytes in base64 from which clients draw a blurred picture. `preview`: the id of a smaller picture.
    Both are empty if the sender's client gives none."""

    media: Media
    hash: str = ""
    preview: str = ""


class File(msgspec.Struct, tag="f", array_like=True, frozen=True):
    media: Media


class Recalled(msgspec.Struct, tag="r", array_like=True, frozen=True, gc=False):
    """The only segment of a recalled message. Its packed form is RECALLED_BODY."""


class Mention(msgspec.Struct, tag="m", array_like=True, frozen=True):
    """A user who is mentioned. In a body, it is packed as a text, which every version shows, and is marked in the
    body's tag."""

    account: AccountId
    text: str


PackedSegment = Text | Emoji | Image | File
Segment = PackedSegment | Recalled
RichSegment = Segment | Mention
"""The segments in dialects that have mentions."""


class DialectTag(msgspec.Struct, tag="d", array_like=True, frozen=True):
    """A tag after the segments of a body. It marks a message that was edited or recalled, or whose dialect must be
    known later."""

    dialect: str


class MarkedTag(msgspec.Struct, tag="d", array_like=True, frozen=True):
    """The tag of a message that replies to another message or mentions users. Older versions read it as a DialectTag.
    `mentions`: for each mention, the position of its text and its mark."""

    dialect: str
    reply: bytes = b""
    mentions: tuple[tuple[int, bytes], ...] = ()


class Quote(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One line that shows the quoted message in dialects without replies: the sender's name and the beginning of the
    message, at the time when the line was made. It is never stored."""

    name: str
    text: str


class Body(msgspec.Struct, frozen=True, gc=False):
    """An unpacked message body; `dialect` is empty for a body without a tag. `segments` have a text in place of each
    mention. `rich` has the mentions; None if there are none. `reply_to`: the index of the message to which this one
    replies, or 0."""

    segments: tuple[Segment, ...]
    dialect: str
    edited: bool = False
    rich: tuple[RichSegment, ...] | None = None
    reply_to: int = 0


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message. `index`: 1, 2, 3 … within the chat. `time`: the server's time in Unix milliseconds, which
    is higher for each later message of the chat. `body`: see `shared.contract.body`."""

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    body: bytes
    nonce: Nonce


def requested_message(found: Sequence[Message], index: int, field: str = "index") -> Message:
    """The message that was requested by `index`, in a page that should contain only this message. If it is missing,
    raises RequestError about the `field`."""
    if [one.index for one in found] != [index]:
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such message", field)
    return found[0]


# Accounts


class Confidential:
    """A struct with secrets or personal data. Its repr shows only the fields that are numbers or choices."""

    __slots__ = ()

    def __repr__(self) -> str:
        struct: Any = self
        fields = msgspec.structs.asdict(struct)
        shown = [f"{name}={value}" for name, value in fields.items() if isinstance(value, int | Enum)]
        return f"{type(self).__name__}({', '.join([*shown, '***'])})"


class Scheme(StrEnum):
    """The hash that the client applied to the password before sending it."""

    PLAIN = "plain"
    MD5 = "md5"
    SHA256 = "sha256"
    SERVICE = "service"
    """The secret of a service client. It is valid only in the service dialect."""

    def fits(self, value: str) -> bool:
        """Whether a secret of this scheme may have this value. The value of a hash is hex of either case."""
        form = _HASHES.get(self)
        return form is None or form.fullmatch(value) is not None


_HASHES = {Scheme.MD5: re.compile(r"[0-9A-Fa-f]{32}"), Scheme.SHA256: re.compile(r"[0-9A-Fa-f]{64}")}


class Secret(Confidential, msgspec.Struct, array_like=True, frozen=True):
    """A password as the client has sent it. If the scheme is a hash, the value is lower-case hex."""

    scheme: Scheme
    value: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The public profile of an account. Times are Unix milliseconds. `avatar`: an http(s) address, the path of a
    picture that every edge serves, or empty for the generated avatar."""

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
    """A number that changes whenever the profile does."""
    private_updated: int = 0
    """A number that changes whenever the chats or friends of the account do."""
    deleted: bool = False
    bot: bool = False
    """The account belongs to a program. A user or an operator has made it."""
    nick: str = ""
    """The name on IRC, unique in the installation. If it is empty, the name is made of the nickname and the number."""
    guest: str = ""
    """The user name of a guest on IRC; empty if the account is no guest."""


class ProfileSummary(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The part of a sender's profile that dialects show with a message. `version`: `public_updated` of the profile; 0
    if unknown. For `nick`, `guest` and `signature`, see Profile. Only a guest's signature is set, because it is the
    guest's real name on IRC."""

    nickname: str
    uuid: str
    version: int = 0
    nick: str = ""
    guest: str = ""
    signature: str = ""


def summary_of(profile: Profile) -> ProfileSummary:
    real_name = profile.signature if profile.guest else ""
    return ProfileSummary(
        profile.nickname, profile.uuid, profile.public_updated, profile.nick, profile.guest, real_name
    )


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
    """The account was a member before. The entry of a past member stays in the history of the membership."""
    MEMBER = 1
    ADMIN = 2
    OWNER = 3


MemberPair = tuple[AccountId, AccountId]
"""The two members of a private chat, the lower number first."""


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One chat, without its members. Times are Unix milliseconds. An empty `avatar` means the generated avatar.
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
    """Members see which messages other members have read."""
    topic: str = ""
    topic_by: AccountId = NO_ACCOUNT
    topic_time: int = 0
    """The time at which `topic_by` has set the topic."""
    edit_seconds: int | None = None
    recall_seconds: int | None = None
    """The time for which a sender may recall a message. It cannot exceed the operator's limit. If it is None, the
    operator's limit holds. `edit_seconds` is the same for edits."""
    history_for_new: bool | None = None
    """New members see earlier messages; None means that they do if the group is open."""
    handle: str = ""
    """The group's name in addresses and on IRC, unique in the installation; empty if the group has none."""
    modes: str = "nt"
    """Modes as letters. `n`: only members may post. `t`: only the owner and the admins may set the topic. `s`: lists of
    groups do not show the group. `C`: clients may not send CTCP."""
    join_key: str = ""
    """The key that an account needs to join; empty if there is none."""
    most_members: int = 0
    """The most members of the group; 0 for the operator's limit."""
    ownerless: bool = False
    """A guest has made the group. So it has no owner, and its admins have the permissions of an owner."""
