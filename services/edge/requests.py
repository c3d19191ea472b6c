"""What a dialect decodes a client's frames into, and what its connection may be told: the edge's closed unions.

Most commands are the contract's own; the ones here never leave the edge in this form.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    Login,
    Recover,
    Register,
    SetSecurity,
    VerificationNeeded,
)
from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.errors import Failure
from shared.contract.ids import NOBODY, AccountId, ChatId
from shared.contract.message import GetHistory
from shared.contract.model import Face, Media, Message, Segment
from shared.contract.session import (
    AccountView,
    AddMember,
    AnswerFriendship,
    AnswerMembership,
    ChatView,
    ChatViews,
    CreateChat,
    Done,
    EndFriendship,
    GetAccount,
    GetChat,
    ListChatViews,
    ListRequests,
    MembershipRequested,
    RenameChat,
    RequestFriendship,
    RequestMembership,
    Requests,
    SetProfile,
)


class PostMessage(msgspec.Struct, frozen=True):
    """Say something in a chat, or (`to`, and chat 0) in the private chat with somebody. Answered by the committed
    message itself, when it is its turn in the chat's order. `cites`: of its pictures and files only the addresses
    (`id`) are known, and perhaps new names; the rest is looked up before it is said."""

    chat: ChatId
    segments: tuple[Segment, ...]
    to: AccountId = NOBODY
    cites: bool = False


@dataclass(frozen=True, slots=True)
class StartUpload:
    """A file will come in parts, for a chat or for somebody, as a PostMessage: what can be refused at once, is.
    `number` is the dialect's own. `data`: the first part, where one frame is both."""

    number: int
    chat: ChatId
    to: AccountId = NOBODY
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class UploadPart:
    """The next part, but not the last one."""

    number: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PostUpload:
    """The last part: the file is kept, then said. Answered as the PostMessage that it becomes. Without a `number` it is
    all of the file. An empty `name`: a new one. `packages`: see Media."""

    number: int | None
    data: bytes = field(repr=False)
    chat: ChatId
    kind: Literal["image", "file"]
    to: AccountId = NOBODY
    name: str = ""
    packages: int = 0


@dataclass(frozen=True, slots=True)
class DropUpload:
    """The client did not keep to what it announced: what came is thrown away, and the answer is this refusal."""

    number: int
    failure: Failure


Saying = PostMessage | PostUpload
"""What puts a message into a chat."""

OfUpload = StartUpload | UploadPart | PostUpload | DropUpload
"""One that is refused ends its upload, in the dialect and behind it."""


@dataclass(frozen=True, slots=True)
class CreateChatOf:
    """Make a group of the people with these uuids, open to everybody, or (`private`) find or make the private chat
    with the only one."""

    uuids: tuple[str, ...]
    name: str
    private: bool


@dataclass(frozen=True, slots=True)
class TakeUnread:
    """The unread messages of all chats, oldest first, `count` at most (None: all); they are read then."""

    count: int | None


@dataclass(frozen=True, slots=True)
class UpdateAccount:
    """Change one's profile, then one's security question: what one frame of some dialects says."""

    profile: SetProfile
    security: SetSecurity


@dataclass(frozen=True, slots=True)
class GetServerStatus:
    """Is the service in maintenance? Needs no login."""


@dataclass(frozen=True, slots=True)
class RequestVerification:
    """Mail the link that completes what was withheld on this connection. Needs no login."""


Command = (
    Register
    | Login
    | RequestVerification
    | GetServerStatus
    | PostMessage
    | OfUpload
    | GetAccount
    | SetProfile
    | CreateChat
    | GetChat
    | DeleteAccount
    | Recover
    | SetSecurity
    | RequestFriendship
    | AnswerFriendship
    | EndFriendship
    | RequestMembership
    | AnswerMembership
    | AddMember
    | RenameChat
    | ListRequests
    | ListChatViews
    | CreateChatOf
    | GetHistory
    | TakeUnread
    | UpdateAccount
)

BEFORE_LOGIN = (Register, Login, Recover, RequestVerification, GetServerStatus)
"""All else is refused on a connection that is not logged in."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    maintenance: bool


@dataclass(frozen=True, slots=True)
class NothingToVerify:
    """Nothing was withheld on this connection."""


@dataclass(frozen=True, slots=True)
class VerificationMailed:
    """The link is on its way; what comes of it is told by a VerificationEnded."""


class Shown(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message as it is shown. `face`: its sender's, for dialects that name senders. `to`: the other person of a
    private chat (NOBODY once deleted), None in a group. `dialect`: the one it was said in, if that marks its
    messages."""

    message: Message
    segments: tuple[Segment, ...]
    face: Face | None = None
    to: AccountId | None = None
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to a GetHistory or TakeUnread, with the senders' faces."""

    messages: tuple[Shown, ...]


class OwnMessage(msgspec.Struct, frozen=True):
    """The answer to what puts a message into a chat: `frames` are what `encode_message` made of it, for this variant of
    connections."""

    message: Message
    frames: "tuple[Outgoing, ...]"


Answer = (
    Authenticated
    | VerificationNeeded
    | NothingToVerify
    | VerificationMailed
    | ServerStatus
    | OwnMessage
    | AccountView
    | ChatView
    | Done
    | Requests
    | MembershipRequested
    | ChatViews
    | Page
)


@dataclass(frozen=True, slots=True)
class ChatAppeared:
    """The account is in a chat that this connection has not heard of."""

    chat: ChatId


@dataclass(frozen=True, slots=True)
class MaintenanceChanged:
    on: bool


@dataclass(frozen=True, slots=True)
class VerificationEnded:
    """`passed`: what was withheld follows. `wrong`: the right link still works. `expired`: it is forgotten."""

    outcome: str


Event = (
    ChatAppeared
    | MaintenanceChanged
    | VerificationEnded
    | ProfileChanged
    | FriendshipRequested
    | FriendshipAnswered
    | MembershipApplied
    | MembershipAnswered
    | ChatRenamed
)


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary WebSocket frame; text frames are plain `bytes`, UTF-8."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data)


Frame = bytes | Binary
"""What goes over a socket, either way."""


@dataclass(frozen=True, slots=True)
class Content:
    """A picture or file in the client's own form: a text frame that announces it, then its bytes in so many binary
    ones, as even as can be. Where the bytes cannot be had, `otherwise` is written instead."""

    announcement: bytes
    media: Media
    packages: int
    otherwise: bytes

    def __len__(self) -> int:
        """What has to be kept of it while it waits."""
        return len(self.announcement) + len(self.otherwise)


Outgoing = Frame | Content
"""What a dialect writes."""
