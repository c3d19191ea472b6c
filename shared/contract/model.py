"""The canonical model, which every dialect is translated to and from.

Frequent types that cannot be part of a reference cycle are excluded from cyclic garbage collection (`gc=False`)."""

from collections.abc import Sequence
from enum import IntEnum, StrEnum

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
    of binary frames of its upload; 0 for another kind of upload. `width`, `height`: pixels of a picture; 0: unknown."""

    id: str
    name: str
    size: int
    sha256: str
    mime: str
    packages: int = 0
    width: int = 0
    height: int = 0


class Image(msgspec.Struct, tag="i", array_like=True, frozen=True):
    media: Media


class File(msgspec.Struct, tag="f", array_like=True, frozen=True):
    media: Media


class Recalled(msgspec.Struct, tag="r", array_like=True, frozen=True, gc=False):
    """The only segment of a recalled message. The packed form of a recalled message is RECALLED_BODY."""


class Mention(msgspec.Struct, tag="m", array_like=True, frozen=True):
    """A user who is mentioned. Packed as a text, which every version shows, and marked in the body's tag."""

    account: AccountId
    text: str


PackedSegment = Text | Emoji | Image | File
Segment = PackedSegment | Recalled
RichSegment = Segment | Mention
"""The segments that clients of a dialect with mentions get and send."""


class DialectTag(msgspec.Struct, tag="d", array_like=True, frozen=True):
    """Follows the segments of a message that was edited or recalled, or whose dialect must be known later."""

    dialect: str


class MarkedTag(msgspec.Struct, tag="d", array_like=True, frozen=True):
    """The DialectTag of a message that replies to another message or mentions users. Older versions see a DialectTag.
    `mentions`: the position of each mentioning text, and its mark."""

    dialect: str
    reply: bytes = b""
    mentions: tuple[tuple[int, bytes], ...] = ()


class Quote(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One line for dialects without replies: the name of the sender and the beginning of the original message, as it
    was when the line was made. Never stored."""

    name: str
    text: str


class Body(msgspec.Struct, frozen=True, gc=False):
    """An unpacked message body; `dialect` is empty for a body without a tag. `segments` have a text for each mention;
    `rich` has the mentions, or is None without one. `reply_to`: the index of the message that it replies to, or 0."""

    segments: tuple[Segment, ...]
    dialect: str
    edited: bool = False
    rich: tuple[RichSegment, ...] | None = None
    reply_to: int = 0


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message. `index` counts 1, 2, 3 … within the chat. `time` is the server's time in Unix
    milliseconds, which strictly increases within the chat. `shared.contract.body` makes the `body`."""

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    body: bytes
    nonce: Nonce


def requested_message(found: Sequence[Message], index: int, field: str = "index") -> Message:
    """The message of a page that was requested by one index. If the message is not there, raises RequestError about the
    `field`."""
    if [one.index for one in found] != [index]:
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such message", field)
    return found[0]


# Accounts


class Scheme(StrEnum):
    """The hash that the client applied to the password before sending it."""

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
    """A number that changes whenever the chats or friends of the account do."""
    deleted: bool = False
    bot: bool = False
    """The account belongs to a program, and was made by a user or an operator."""
    nick: str = ""
    """The name on IRC, unique in the installation; empty: it is made of the nickname and the number."""
    guest: str = ""
    """The name of a guest's user on IRC; empty: the account is no guest."""


class ProfileSummary(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The part of a sender's profile that dialects show with a message. `version`: `public_updated` of the profile; 0:
    not known. `nick`, `guest`, `signature`: as in Profile; only a guest's signature is here, which is its real name on
    IRC."""

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
    """The account was a member. The entry of a past member stays in the history of the membership."""
    MEMBER = 1
    ADMIN = 2
    OWNER = 3


MemberPair = tuple[AccountId, AccountId]
"""The two members of a private chat, the lower number first."""


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One chat, but not the chat's members. Times are Unix milliseconds. An empty `avatar` means the generated one.
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
    """Members see which messages others have read."""
    topic: str = ""
    topic_by: AccountId = NO_ACCOUNT
    topic_time: int = 0
    """The account that has set the topic, and the time."""
    edit_seconds: int | None = None
    recall_seconds: int | None = None
    """The time for which a sender may edit or recall a message, but never longer than the operator allows; None: as
    long as the operator allows."""
    history_for_new: bool | None = None
    """Accounts that join from now on see earlier messages; None: only if the group is open."""
    handle: str = ""
    """The group's name in addresses and on IRC, unique in the installation; empty: it has none."""
    modes: str = "nt"
    """Letters: `n` only members post, `t` only the owner and the admins set the topic, `s` the group is in no list, `C`
    no CTCP."""
    join_key: str = ""
    """The key that a joining account must know; empty: there is none."""
    most_members: int = 0
    """The most members of the group; 0: as many as the operator allows."""
    ownerless: bool = False
    """A guest has made the group, so it has no owner, and its admins have the permissions of an owner."""
