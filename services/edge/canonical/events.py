"""The events. They are all changes that a dialect may push to a connection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.edge.canonical.replies import DisplayChange
from shared.contract.edge import ChatModesChanged, Invited, SocialEvent
from shared.contract.ephemeral import (
    ChatRead,
    ChatSettingsChanged,
    IrcEvent,
    OwnChanged,
    PresenceChanged,
    ReceiptsShown,
    Typing,
)
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import ProfileSummary, Role


@dataclass(frozen=True, slots=True)
class ChatJoined:
    """The account is in a chat that this connection does not know. When the account joined, or was found to have
    joined, the chat's last index was `head` and the chat's last change was `rev`. `first`: the first index that the
    account may see. These values are None if an older version of the session or message service has not sent them."""

    chat: ChatId
    head: int | None = None
    first: int | None = None
    rev: int | None = None


class Departure(StrEnum):
    LEFT = "left"
    KICKED = "kicked"
    DISBANDED = "disbanded"
    UNKNOWN = "unknown"
    """The event was lost, so the reason is not known."""


@dataclass(frozen=True, slots=True)
class ChatLeft:
    """The account is no member of the chat any more. `by` and the fields after it are as in MembershipChanged."""

    chat: ChatId
    departure: Departure
    by: AccountId = NO_ACCOUNT
    faces: Mapping[AccountId, ProfileSummary] = field(default_factory=dict)
    reason: str = ""
    time: int = 0


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """Another member or this account has a new role. The role LEFT means that another member has left the group or was
    removed. `by`: the account that changed the role. `version`: the chat's version. The other fields are as in
    MembershipChanged."""

    chat: ChatId
    account: AccountId
    role: Role
    by: AccountId
    version: int = 0
    faces: Mapping[AccountId, ProfileSummary] = field(default_factory=dict)
    reason: str = ""
    gone: bool = False
    by_modes: bool = False
    time: int = 0


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
    | SocialEvent
    | ChatModesChanged
    | Invited
    | Typing
    | PresenceChanged
    | ChatRead
    | ReceiptsShown
    | ChatSettingsChanged
    | OwnChanged
    | IrcEvent
)
