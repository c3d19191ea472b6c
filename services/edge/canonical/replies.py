"""Replies: the closed union of results that a dialect encodes as the answer to a command."""

from dataclasses import dataclass

import msgspec

from services.edge.canonical.frames import Outgoing
from shared.contract.auth import (
    Authenticated,
    VerificationNeeded,
)
from shared.contract.ids import AccountId
from shared.contract.model import Message, ProfileSummary, Segment
from shared.contract.session import (
    AccountView,
    Ack,
    ChatView,
    ChatViews,
    MembershipRequested,
    Requests,
)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    maintenance: bool


@dataclass(frozen=True, slots=True)
class NoPendingVerification:
    """Nothing was withheld on this connection."""


@dataclass(frozen=True, slots=True)
class VerificationMailed:
    """The link is on its way; what comes of it is told by a VerificationEnded."""


class DisplayMessage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message as it is shown. `face`: its sender's, for dialects that name senders. `to`: the other person of a
    private chat (NOBODY once deleted), None in a group. `dialect`: the one it was said in, if that marks its
    messages."""

    message: Message
    segments: tuple[Segment, ...]
    face: ProfileSummary | None = None
    to: AccountId | None = None
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to a GetHistory or FetchUnread, with the senders' faces."""

    messages: tuple[DisplayMessage, ...]


class MessageAccepted(msgspec.Struct, frozen=True):
    """The answer to what puts a message into a chat: `frames` are what `encode_message` made of it, for this variant of
    connections."""

    message: Message
    frames: "tuple[Outgoing, ...]"


Reply = (
    Authenticated
    | VerificationNeeded
    | NoPendingVerification
    | VerificationMailed
    | ServerStatus
    | MessageAccepted
    | AccountView
    | ChatView
    | Ack
    | Requests
    | MembershipRequested
    | ChatViews
    | Page
)
