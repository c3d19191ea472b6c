"""What a dialect decodes a client's frames into, and what its connection may be told: the edge's closed unions.

Most commands are the contract's own; the ones here never leave the edge in this form.
"""

from dataclasses import dataclass

from shared.contract.auth import Authenticated, DeleteAccount, Login, Register, VerificationNeeded
from shared.contract.ids import ChatId
from shared.contract.model import Message, Segment
from shared.contract.session import AccountView, ChatView, CreateChat, Done, GetAccount, GetChat, SetProfile


@dataclass(frozen=True, slots=True)
class PostMessage:
    """Say something in a chat. Answered by the committed message itself, when it is its turn in the chat's order."""

    chat: ChatId
    segments: tuple[Segment, ...]


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
    | GetAccount
    | SetProfile
    | CreateChat
    | GetChat
    | DeleteAccount
)

BEFORE_LOGIN = (Register, Login, RequestVerification, GetServerStatus)
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


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """The answer to a PostMessage: `frames` are what `encode_message` made of it for this connection's variant."""

    message: Message
    frames: "tuple[Frame, ...]"


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


Event = ChatAppeared | MaintenanceChanged | VerificationEnded


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary WebSocket frame; text frames are plain `bytes`, UTF-8."""

    data: bytes


Frame = bytes | Binary
