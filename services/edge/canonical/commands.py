"""Commands: the closed union that a dialect decodes a client's frames into.

Most are the contract's own; the ones here never leave the edge in this form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from shared.contract.auth import (
    DeleteAccount,
    Login,
    Recover,
    Register,
    SetSecurity,
)
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.message import GetHistory
from shared.contract.model import Segment
from shared.contract.session import (
    AddMember,
    AnswerFriendship,
    AnswerMembership,
    CreateChat,
    EndFriendship,
    GetAccount,
    GetChat,
    ListChatViews,
    ListRequests,
    RenameChat,
    RequestFriendship,
    RequestMembership,
    SetProfile,
)


class PostMessage(msgspec.Struct, frozen=True):
    """Say something in a chat, or (`to`, and chat 0) in the private chat with somebody. Answered by the committed
    message itself, when it is its turn in the chat's order. `cites`: of its pictures and files only the addresses
    (`id`) are known, and perhaps new names; the rest is looked up before it is said."""

    chat: ChatId
    segments: tuple[Segment, ...]
    to: AccountId = NO_ACCOUNT
    references_media: bool = False


@dataclass(frozen=True, slots=True)
class StartUpload:
    """A file will come in parts, for a chat or for somebody, as a PostMessage: what can be refused at once, is.
    `number` is the dialect's own. `data`: the first part, where one frame is both."""

    number: int
    chat: ChatId
    to: AccountId = NO_ACCOUNT
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
    to: AccountId = NO_ACCOUNT
    name: str = ""
    packages: int = 0


@dataclass(frozen=True, slots=True)
class DropUpload:
    """The client did not keep to what it announced: what came is thrown away, and the answer is this refusal."""

    number: int
    failure: Failure


MessageCommand = PostMessage | PostUpload

"""What puts a message into a chat."""


UploadCommand = StartUpload | UploadPart | PostUpload | DropUpload

"""One that is refused ends its upload, in the dialect and behind it."""


@dataclass(frozen=True, slots=True)
class CreateChatByUuid:
    """Make a group of the people with these uuids, open to everybody, or (`private`) find or make the private chat
    with the only one."""

    uuids: tuple[str, ...]
    name: str
    private: bool


@dataclass(frozen=True, slots=True)
class FetchUnread:
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
    | UploadCommand
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
    | CreateChatByUuid
    | GetHistory
    | FetchUnread
    | UpdateAccount
)


_RELEASED_LABELS: Mapping[type, str] = {CreateChatByUuid: "CreateChatOf", FetchUnread: "TakeUnread"}


BEFORE_LOGIN = (Register, Login, Recover, RequestVerification, GetServerStatus)

"""All else is refused on a connection that is not logged in."""


def metric_label(command: Command) -> str:
    """The label value of a command in metrics: its type's name when it was released."""
    return _RELEASED_LABELS.get(type(command)) or type(command).__name__
