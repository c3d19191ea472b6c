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
    """No verification is pending on this connection."""


@dataclass(frozen=True, slots=True)
class VerificationMailed:
    """The link was mailed; a VerificationEnded event reports the result."""


class DisplayMessage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message to encode. `summary`: of its sender, for dialects that name senders. `to`: the other member of a
    private chat (NO_ACCOUNT once deleted), None in a group. `dialect`: the sender's, if that dialect tags its
    messages."""

    message: Message
    segments: tuple[Segment, ...]
    summary: ProfileSummary | None = None
    to: AccountId | None = None
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """The reply to GetHistory or FetchUnread, with the senders' profile summaries."""

    messages: tuple[DisplayMessage, ...]


class MessageAccepted(msgspec.Struct, frozen=True):
    """The reply to a MessageCommand. `frames`: the message as `encode_message` encoded it for this connection's
    variant."""

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
    | MessagePage
)
