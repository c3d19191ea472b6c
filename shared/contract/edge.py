"""Messages to edges: deliveries, notices and control."""

from collections.abc import Iterable

import msgspec

from shared.contract.auth import Revocation
from shared.contract.ephemeral import ChatSettingsChanged
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId
from shared.contract.message import MessageChange
from shared.contract.model import MemberPair, Message, Profile, ProfileSummary, Quote, Role

RECENT_JOINS = 128
"""Joins at once break the chain of single notices: between the two transactions of one, others start and finish."""


class RecentJoins(msgspec.Struct, array_like=True, frozen=True):
    """The accounts whose membership of a chat has changed after version `since` and up to another version, which the
    context names. All are members by that version; the first index that each may see."""

    since: int
    joined: dict[AccountId, int]


def recent_joins(changes: Iterable[tuple[int, AccountId, int]], since: int) -> RecentJoins:
    """`changes`: those of memberships after version `since`, the last one first: the version, the account, and the
    first index that it may see, 0 for one that is no member. The result goes back to the last departure, which its own
    notice must name, and has at most RECENT_JOINS accounts."""
    joined: dict[AccountId, int] = {}
    for version, account, first_index in changes:
        if not first_index or len(joined) == RECENT_JOINS:
            return RecentJoins(version, joined)
        joined[account] = first_index
    return RecentJoins(since, joined)


class Delivery(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message and its recipients on this node; None: every local member (broadcast of big chats).
    `version`: the membership version that the fan-out used, or a later one."""

    message: Message
    recipients: list[AccountId] | None
    version: int
    pair: MemberPair | None = None
    """The members of a private chat."""
    face: ProfileSummary | None = None
    """The sender's profile summary, as the sender's edge knew it."""
    quote: Quote | None = None
    """Of the message that it replies to."""
    recent: RecentJoins | None = None
    """Of a broadcast, up to `version`: an edge need not wait for their notices."""


class ChangeDelivery(msgspec.Struct, array_like=True, frozen=True):
    """A committed change of a message, and its recipients as in Delivery; to all connections of theirs but `origin`
    (node and number). A lost one is not repeated: clients notice it by its `rev`."""

    change: MessageChange
    recipients: list[AccountId] | None
    origin: tuple[NodeId, int] | None = None


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """`counter` counts this replica's envelopes on this subject, from 1; a skipped number reveals a loss. An envelope
    without deliveries follows the last one. Each process of a replica has a new `epoch`."""

    replica: str
    epoch: int
    counter: int
    deliveries: list[Delivery]
    changes: list[ChangeDelivery] = []


class Placement(msgspec.Struct, frozen=True):
    """A replica of an earlier version names so one of several databases of message. Nothing sends or reads it."""

    database: str
    version: int
    partitions: int
    ranges: list[tuple[int, int]]


class Heartbeat(msgspec.Struct, frozen=True):
    """Published by each replica to all edges and replicas every second. `counters`: "all" for broadcasts; the version
    before names each node, too. A counter without its envelope reveals a loss. `leaving`: the replica shuts down after
    this heartbeat. `now`: Unix milliseconds of the replica; 0 when unknown. `partitions`: the replica may own some of
    so many partitions of chats, and serves a subject of its own; 0: it knows no partitions; -1: it stops, and owns none
    any more. `placement`: not sent any more. `wants_accounts`: presence is unknown to it, so edges announce their
    accounts. `known_nodes`: the nodes whose accounts it knows by their announcements, all since the first number and up
    to the second. It publishes on the subject of such a node what concerns the node, besides the broadcast to all
    others. `load`: the cores that it has used since the heartbeat before. `spare`: it owns no chats while a replica
    that is none does."""

    replica: str
    epoch: int
    counters: dict[str, int]
    leaving: bool = False
    now: int = 0
    partitions: int = 0
    placement: Placement | None = None
    wants_accounts: bool = False
    known_nodes: dict[NodeId, tuple[int, int]] = {}
    load: float = 0.0
    spare: bool = False


class PresenceIncomplete(msgspec.Struct, frozen=True):
    """Presence may lack `accounts` of this node for the next `milliseconds`, because the node cannot reach Redis: all
    accounts there every few seconds, in several announcements if there are many, and an account at once that logs in.
    None: any account may be on it. 0 milliseconds: presence is complete again. While a replica of message wants it, a
    node counts its announcements from 1 by `number`, else 0. `starts`, `ends`: the first and the last announcement of a
    list of all accounts. `registered`: presence has the accounts; this is for replicas that cannot read it."""

    node: NodeId
    milliseconds: int
    accounts: list[AccountId] | None = None
    number: int = 0
    starts: bool = False
    ends: bool = False
    registered: bool = False


# Notices: published by session and auth to the edges of the accounts concerned. The next sync repairs a lost one.


class ChatCreated(msgspec.Struct, tag="chat_created", frozen=True):
    """`kept`: for each member added to a group, the number of the stored notice (a MembershipAnswered), which the edge
    drops after showing it."""

    chat: ChatId
    by: AccountId
    members: list[AccountId]
    """The members on this node; all members when presence is unknown."""
    version: int = 1
    name: str = ""
    kept: dict[AccountId, int] = {}


class JoinedAt(msgspec.Struct, array_like=True, frozen=True):
    """What a chat had when a member joined: its last index, and the number of its last change. What comes later is
    pushed to the member."""

    head: int
    rev: int


class MembershipChanged(msgspec.Struct, tag="membership_changed", frozen=True):
    """The new role of an account in a chat; LEFT: no longer a member. Between version `since` and `version`, nobody
    else's membership has changed; 0: only `version` itself is known. `by`: the account that ended the membership
    or set the role; NO_ACCOUNT: of a join, and not named. `disbanded`: with that of all other members. `recent`: of
    other accounts, before `version`."""

    chat: ChatId
    account: AccountId
    role: Role
    first_index: int
    version: int
    since: int = 0
    by: AccountId = NO_ACCOUNT
    disbanded: bool = False
    recent: RecentJoins | None = None
    joined_at: JoinedAt | None = None
    """Of a join; None: not known, an older version of message or session has replied."""


class ProfileChanged(msgspec.Struct, tag="profile_changed", frozen=True):
    """`renamed`: the nickname was set."""

    profile: Profile
    renamed: bool = True


class Revoked(msgspec.Struct, tag="revoked", frozen=True):
    """Closes the logins of these tokens; published to every edge."""

    revocations: list[Revocation]


class Kicked(msgspec.Struct, tag="kicked", frozen=True):
    """Closes the logins of an account, which may log in again; published to every edge."""

    account: AccountId


class MaintenanceSet(msgspec.Struct, tag="maintenance", frozen=True):
    on: bool


class VerificationOpened(msgspec.Struct, tag="verification_opened", frozen=True):
    """The mailed link of a ticket was opened; `passed` is False for a wrong code."""

    ticket: str
    connection: int
    passed: bool


class FriendshipRequested(msgspec.Struct, tag="friendship_requested", frozen=True):
    """To `account`."""

    applicant: AccountId
    account: AccountId
    text: str


class FriendshipAnswered(msgspec.Struct, tag="friendship_answered", frozen=True):
    """To both when accepted, to the applicant when rejected. `kept`: the number of the stored notice by account; the
    edge drops it after showing it."""

    applicant: AccountId
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}


class MembershipApplied(msgspec.Struct, tag="membership_applied", frozen=True):
    """To the owner and the admins."""

    applicant: AccountId
    chat: ChatId
    text: str


class MembershipAnswered(msgspec.Struct, tag="membership_answered", frozen=True):
    """`account` has joined the group (to all members) or was rejected (to the account only, without the group's name,
    which strangers do not see). `version`: the chat's of the join; 0: not known."""

    chat: ChatId
    name: str
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}
    version: int = 0


class ChatRenamed(msgspec.Struct, tag="chat_renamed", frozen=True):
    """To all members. `settings`: they have changed; `renamed` False: and the name has not, which edges of the version
    before show once more."""

    chat: ChatId
    name: str
    by: AccountId
    renamed: bool = True
    settings: ChatSettingsChanged | None = None


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
    """`recipients`: accounts on this node; None: every account on it."""

    notice: Notice
    recipients: list[AccountId] | None = None


class FlushReadState(msgspec.Struct):
    """Commits the read state of an account now: it logs in on another node and will read its backlog there."""

    account: AccountId


class ReadStateFlushed(msgspec.Struct, frozen=True):
    node: NodeId
    present: bool
    """Whether the account still has a connection on that node."""
