"""Events: the closed union of changes that a dialect may push to a connection."""

from dataclasses import dataclass

from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.ids import ChatId


@dataclass(frozen=True, slots=True)
class ChatJoined:
    """The account is in a chat that this connection does not know."""

    chat: ChatId


@dataclass(frozen=True, slots=True)
class MaintenanceChanged:
    on: bool


@dataclass(frozen=True, slots=True)
class VerificationEnded:
    """`passed`: the reply to the pending request follows. `wrong`: the right link still works. `expired`: the pending
    request is dropped."""

    result: str


Event = (
    ChatJoined
    | MaintenanceChanged
    | VerificationEnded
    | ProfileChanged
    | FriendshipRequested
    | FriendshipAnswered
    | MembershipApplied
    | MembershipAnswered
    | ChatRenamed
)
