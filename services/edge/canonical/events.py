"""Events: the closed union of changes that a dialect may push to a connection."""

from dataclasses import dataclass
from enum import StrEnum

from services.edge.canonical.replies import DisplayChange
from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.ephemeral import ChatMuted, ChatRead, ChatSettingsChanged, PresenceChanged, ReceiptsShown, Typing
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role


@dataclass(frozen=True, slots=True)
class ChatJoined:
    """The account is in a chat that this connection does not know. When it joined, or was found to have joined, the
    chat's last message was `head`, and its last change `rev`; `first`: the first index that it may see. None: an older
    version of session or message has not told."""

    chat: ChatId
    head: int | None = None
    first: int | None = None
    rev: int | None = None


class Departure(StrEnum):
    LEFT = "left"
    KICKED = "kicked"
    DISBANDED = "disbanded"
    UNKNOWN = "unknown"
    """The notice was lost."""


@dataclass(frozen=True, slots=True)
class ChatLeft:
    """The account is no member of the chat any more."""

    chat: ChatId
    departure: Departure


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """Another member has a new role, or this account has; LEFT: another member has left the group, or was removed.
    `by`: the account that changed it. `version`: the chat's."""

    chat: ChatId
    account: AccountId
    role: Role
    by: AccountId
    version: int = 0


@dataclass(frozen=True, slots=True)
class MaintenanceChanged:
    on: bool


@dataclass(frozen=True, slots=True)
class VerificationEnded:
    """`passed`: the reply to the pending request follows. `wrong`: the right link still works. `expired`: the pending
    request is dropped."""

    result: str


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """A message was edited, recalled, pinned or unpinned, or a reaction to it was added or removed."""

    shown: DisplayChange


Event = (
    ChatJoined
    | ChatLeft
    | RoleChanged
    | MessageChanged
    | MaintenanceChanged
    | VerificationEnded
    | ProfileChanged
    | FriendshipRequested
    | FriendshipAnswered
    | MembershipApplied
    | MembershipAnswered
    | ChatRenamed
    | ChatSettingsChanged
    | Typing
    | PresenceChanged
    | ChatRead
    | ChatMuted
    | ReceiptsShown
)
