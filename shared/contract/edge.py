"""What edges are told: deliveries, notices and control."""

import msgspec

from shared.contract.auth import Revocation
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import MemberPair, Message, Profile, ProfileSummary, Role


class Delivery(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message and its recipients on this node; None: every local member (broadcast of big chats).
    `version` is the membership's version it was fanned out by."""

    message: Message
    recipients: list[AccountId] | None
    version: int
    pair: MemberPair | None = None
    """Of a private chat."""
    face: ProfileSummary | None = None
    """The sender's, as its edge knew it."""


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """`counter` counts this replica's envelopes on this subject, from 1; a skip shows a loss. `epoch` is new for
    each run of a replica."""

    replica: str
    epoch: int
    counter: int
    deliveries: list[Delivery]


class Heartbeat(msgspec.Struct, frozen=True):
    """Sent by each replica to all edges every second: its counter per node and, under "all", for broadcasts; a node
    that is not named was sent nothing for ten minutes. A counter that no envelope reaches announces a loss.
    `leaving`: it stops, everything is sent, do not miss it."""

    replica: str
    epoch: int
    counters: dict[str, int]
    leaving: bool = False


# Notices: what session and auth tell the edges of the accounts concerned. Lost ones heal at the next sync.


class ChatCreated(msgspec.Struct, tag="chat_created", frozen=True):
    """`kept`: of those who were put into a group, the numbers by which that is kept for them (a MembershipAnswered
    each), to be dropped once it has been shown."""

    chat: ChatId
    by: AccountId
    members: list[AccountId]
    """The ones on this node (or all, when presence is unknown)."""
    version: int = 1
    name: str = ""
    kept: dict[AccountId, int] = {}


class MembershipChanged(msgspec.Struct, tag="membership_changed", frozen=True):
    """An account's role in a chat is now this; LEFT: it is no member any more."""

    chat: ChatId
    account: AccountId
    role: Role
    first_index: int
    version: int


class ProfileChanged(msgspec.Struct, tag="profile_changed", frozen=True):
    """`renamed`: the nickname was set."""

    profile: Profile
    renamed: bool = True


class Revoked(msgspec.Struct, tag="revoked", frozen=True):
    """Close what logged in by these tokens (every edge is told)."""

    revocations: list[Revocation]


class Kicked(msgspec.Struct, tag="kicked", frozen=True):
    """Close what this account has logged in; it may come back (every edge is told)."""

    account: AccountId


class MaintenanceSet(msgspec.Struct, tag="maintenance", frozen=True):
    on: bool


class VerificationOpened(msgspec.Struct, tag="verification_opened", frozen=True):
    """The mailed link of a ticket was opened; `passed` false: with a wrong code."""

    ticket: str
    connection: int
    passed: bool


class FriendshipRequested(msgspec.Struct, tag="friendship_requested", frozen=True):
    """For `account`."""

    applicant: AccountId
    account: AccountId
    text: str


class FriendshipAnswered(msgspec.Struct, tag="friendship_answered", frozen=True):
    """For both when accepted, for the applicant when refused. `kept`: its numbers by account, to be dropped once it
    has been shown there."""

    applicant: AccountId
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}


class MembershipApplied(msgspec.Struct, tag="membership_applied", frozen=True):
    """For the owner and the admins."""

    applicant: AccountId
    chat: ChatId
    text: str


class MembershipAnswered(msgspec.Struct, tag="membership_answered", frozen=True):
    """`account` is in the group now (told to all its members), or was refused (told to it alone)."""

    chat: ChatId
    name: str
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}


class ChatRenamed(msgspec.Struct, tag="chat_renamed", frozen=True):
    """For all members."""

    chat: ChatId
    name: str
    by: AccountId


Notice = (
    ChatCreated
    | MembershipChanged
    | ProfileChanged
    | Revoked
    | Kicked
    | MaintenanceSet
    | VerificationOpened
    | FriendshipRequested
    | FriendshipAnswered
    | MembershipApplied
    | MembershipAnswered
    | ChatRenamed
)


class Notify(msgspec.Struct, frozen=True):
    """`recipients`: accounts on this node that are concerned; None: everybody."""

    notice: Notice
    recipients: list[AccountId] | None = None


class FlushReadState(msgspec.Struct):
    """Commit the read state of this account now: it logs in elsewhere and will read what it missed."""

    account: AccountId


class ReadStateFlushed(msgspec.Struct, frozen=True):
    node: NodeId
    present: bool
    """Whether the account still has a connection on that node."""
