"""The events. They are all changes that a dialect may push to a connection."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

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


class ChatJoined(msgspec.Struct, frozen=True):
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


class ChatLeft(msgspec.Struct, frozen=True):
    """The account is no member of the chat any more. `by` and the fields after it are as in MembershipChanged."""

    chat: ChatId
    departure: Departure
    by: AccountId = NO_ACCOUNT
    faces: Mapping[AccountId, ProfileSummary] = {}
    reason: str = ""
    time: int = 0


class RoleChanged(msgspec.Struct, frozen=True):
    """Another member or this account has a new role. The role LEFT means that another member has left the group or was
    removed. `by`: the account that changed the role. `version`: the chat's version. The other fields are as in
    MembershipChanged."""

    chat: ChatId
    account: AccountId
    role: Role
    by: AccountId
    version: int = 0
    faces: Mapping[AccountId, ProfileSummary] = {}
    reason: str = ""
    gone: bool = False
    by_modes: bool = False
    time: int = 0


class MaintenanceChanged(msgspec.Struct, frozen=True):
    on: bool


class VerificationEnded(msgspec.Struct, frozen=True):
    """`passed`: the reply to the pending request follows. `wrong`: the right link still works. `expired`: the pending
    request is dropped."""

    result: str


class MessageChanged(msgspec.Struct, frozen=True):
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
