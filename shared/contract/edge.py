"""What edges are told: deliveries, notices and control."""

import msgspec

from shared.contract.auth import Revocation
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import Message, Profile, Role


class Delivery(msgspec.Struct, array_like=True, frozen=True):
    """One committed message and its recipients on this node; None: every local member (broadcast of big chats).
    `version` is the membership's version it was fanned out by."""

    message: Message
    recipients: list[AccountId] | None
    version: int


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """`counter` counts this replica's envelopes on this subject, from 1; a skip shows a loss. `epoch` is new for
    each run of a replica."""

    replica: str
    epoch: int
    counter: int
    deliveries: list[Delivery]


class Heartbeat(msgspec.Struct, frozen=True):
    """Sent by each replica to all edges every second: its counter per node and, under "all", for broadcasts.
    `leaving`: it stops, everything is sent, do not miss it."""

    replica: str
    epoch: int
    counters: dict[str, int]
    leaving: bool = False


# Notices: what session and auth tell the edges of the accounts concerned. Lost ones heal at the next sync.


class ChatCreated(msgspec.Struct, tag="chat_created", frozen=True):
    chat: ChatId
    by: AccountId
    members: list[AccountId]
    """The ones on this node (or all, when presence is unknown)."""
    version: int = 1


class MembershipChanged(msgspec.Struct, tag="membership_changed", frozen=True):
    """An account's role in a chat is now this; LEFT: it is no member any more."""

    chat: ChatId
    account: AccountId
    role: Role
    first_index: int
    version: int


class ProfileChanged(msgspec.Struct, tag="profile_changed", frozen=True):
    profile: Profile


class Revoked(msgspec.Struct, tag="revoked", frozen=True):
    """Close what logged in by these tokens (every edge is told)."""

    revocations: list[Revocation]


class MaintenanceSet(msgspec.Struct, tag="maintenance", frozen=True):
    on: bool


class VerificationOpened(msgspec.Struct, tag="verification_opened", frozen=True):
    """The mailed link of a ticket was opened; `passed` false: with a wrong code."""

    ticket: str
    connection: int
    passed: bool


Notice = ChatCreated | MembershipChanged | ProfileChanged | Revoked | MaintenanceSet | VerificationOpened


class Notify(msgspec.Struct, frozen=True):
    """`recipients`: accounts on this node that are concerned; None: everybody."""

    notice: Notice
    recipients: list[AccountId] | None = None


class Flush(msgspec.Struct):
    """Commit the read state of this account now: it logs in elsewhere and will read what it missed."""

    account: AccountId


class Flushed(msgspec.Struct, frozen=True):
    node: NodeId
    present: bool
    """Whether the account still has a connection on that node."""
