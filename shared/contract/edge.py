"""Messages to edges: deliveries, events and control."""

from collections.abc import Iterable

import msgspec

from shared.contract.auth import Revocation
from shared.contract.ephemeral import ChatSettingsChanged
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId
from shared.contract.members import ModeChange
from shared.contract.message import MessageChange
from shared.contract.model import MemberPair, Message, Profile, ProfileSummary, Quote, Role

RECENT_JOINS = 128
"""If several accounts join at the same time, their events form no chain: each join has two transactions, and others may
fall in between."""


class RecentJoins(msgspec.Struct, array_like=True, frozen=True):
    """The accounts that have joined a chat after version `since`, up to the version in the enclosing object, with the
    first index that each account may see."""

    since: int
    joined: dict[AccountId, int]


def recent_joins(changes: Iterable[tuple[int, AccountId, int]], since: int) -> RecentJoins:
    """`changes`: the membership changes after version `since`, the last one first. Each has the version, the account,
    and the first index that it may see (0: no member any more). The result goes back to the last departure, whose own
    event must name it, and has at most RECENT_JOINS accounts."""
    joined: dict[AccountId, int] = {}
    for version, account, first_index in changes:
        if not first_index or len(joined) == RECENT_JOINS:
            return RecentJoins(version, joined)
        joined[account] = first_index
    return RecentJoins(since, joined)


class Delivery(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message and the message's recipients on this node. None: every local member (a broadcast in a big
    chat).
    `version`: the membership version of the fan-out, or a later one."""

    message: Message
    recipients: list[AccountId] | None
    version: int
    pair: MemberPair | None = None
    """The members of a private chat."""
    face: ProfileSummary | None = None
    """The sender's profile summary, as the sender's edge knew it."""
    quote: Quote | None = None
    """The quote of the message that it replies to."""
    recent: RecentJoins | None = None
    """The recent joins up to `version`, in a broadcast. An edge need not wait for their events."""


class ChangeDelivery(msgspec.Struct, array_like=True, frozen=True):
    """A committed change of a message, with recipients as in Delivery. The change goes to all connections of the
    recipients except `origin` (node and number). A lost change is not repeated; clients see from the chat's `rev` that
    they lack a change. `face`: of the account that made the change, as this account's edge knew it."""

    change: MessageChange
    recipients: list[AccountId] | None
    origin: tuple[NodeId, int] | None = None
    face: ProfileSummary | None = None


class DeliveryBatch(msgspec.Struct, array_like=True, frozen=True):
    """`counter` counts this replica's delivery batches on this subject, from 1; a skipped number reveals a loss. A
    batch without deliveries follows the last one. Each process of a replica has a new `epoch`."""

    replica: str
    epoch: int
    counter: int
    deliveries: list[Delivery]
    changes: list[ChangeDelivery] = []


class Placement(msgspec.Struct, frozen=True):
    """Earlier versions named one of several message databases here. Not used any more."""

    database: str
    version: int
    partitions: int
    ranges: list[tuple[int, int]]


class Heartbeat(msgspec.Struct, frozen=True):
    """Each replica publishes this to all edges and replicas every second. `counters`: the counter "all" for broadcasts;
    the previous version also names each node. A counter without its delivery batch reveals a loss. `leaving`: the
    replica shuts down after this heartbeat. `now`: Unix milliseconds of the replica; 0 when unknown. `partitions`: the
    number of partitions of chats, some of which the replica may lead; the replica then serves its own subject. 0: the
    replica knows no partitions. -1: the replica stops, and leads no partitions any more. `placement`: not sent any
    more. `wants_accounts`: the replica does not know presence, so edges announce their accounts. `known_nodes`: the
    nodes whose accounts the replica knows from announcements: all with numbers after the first and up to the second. On
    such a node's subject, the replica publishes everything for the node's accounts, besides the broadcast to all other
    nodes. `load`: the cores that it has used since the heartbeat before. `spare`: the replica owns no chats while one
    without `spare` does."""

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
    """For the next `milliseconds`, presence may lack `accounts` of this node, because the node cannot reach Redis. The
    node announces all its accounts every few seconds, in several announcements if there are many, and each new login at
    once. None: any account may be on this node. 0 milliseconds: presence is complete again.

    While a replica of the message service wants announcements, a node counts them from 1 by `number`; otherwise
    `number` is 0. `starts`, `ends`: the first and the last announcement of a list of all accounts. `registered`:
    presence has the accounts; the event is for replicas that cannot read it.
    """

    node: NodeId
    milliseconds: int
    accounts: list[AccountId] | None = None
    number: int = 0
    starts: bool = False
    ends: bool = False
    registered: bool = False


# The session and auth services publish the events below to the edges of the accounts concerned. The next sync repairs
# the loss of an event.


class ChatCreated(msgspec.Struct, tag="chat_created", frozen=True):
    """`kept`: for each new member, the number of the stored event (a MembershipAnswered), which the edge deletes after
    showing the event."""

    chat: ChatId
    by: AccountId
    members: list[AccountId]
    """The members on this node, or all members if presence is unknown."""
    version: int = 1
    name: str = ""
    kept: dict[AccountId, int] = {}


class JoinedAt(msgspec.Struct, array_like=True, frozen=True):
    """The state of a chat when a member joined: the chat's last index, and the number of its last change. Whatever is
    later is pushed to the member."""

    head: int
    rev: int


class MembershipChanged(msgspec.Struct, tag="membership_changed", frozen=True):
    """The new role of an account in a chat; LEFT: it is no longer a member. Between the versions `since` and `version`,
    no other membership has changed; 0: this is unknown. `by`: the account that ended the membership or set the role;
    NO_ACCOUNT for a join. `disbanded`: the memberships of all members have ended. `recent`: recent joins of other
    accounts before `version`."""

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
    """The state of the chat when the account joined. None: not known, because an older version of message or session
    has replied."""
    faces: dict[AccountId, ProfileSummary] = {}
    """The profile summaries of the accounts that the event names."""
    reason: str = ""
    """Why the membership has ended, as its member or who ended it has said."""
    gone: bool = False
    """The account is deleted, and leaves all its groups."""
    by_modes: bool = False
    """A ChatModesChanged tells it, too."""
    time: int = 0
    """Of the happening, Unix ms; 0: none."""


class ProfileChanged(msgspec.Struct, tag="profile_changed", frozen=True):
    """`renamed`: the account has set its nickname."""

    profile: Profile
    renamed: bool = True
    former_nick: str = ""
    """The nick before, if it has changed."""
    registered: bool = False
    """The account was a guest's before."""


class Revoked(msgspec.Struct, tag="revoked", frozen=True):
    """Closes the logins of these tokens. Published to every edge."""

    revocations: list[Revocation]


class Kicked(msgspec.Struct, tag="kicked", frozen=True):
    """Closes the logins of an account, which may log in again. Published to every edge."""

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
    """Sent to both accounts when accepted, and to the applicant when rejected. `kept`: for each account the number of
    the stored event, which the edge deletes after showing it."""

    applicant: AccountId
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}


class MembershipApplied(msgspec.Struct, tag="membership_applied", frozen=True):
    """Sent to the owner and the admins."""

    applicant: AccountId
    chat: ChatId
    text: str


class MembershipAnswered(msgspec.Struct, tag="membership_answered", frozen=True):
    """`account` has joined the group, or was rejected. A join goes to all members. A rejection goes only to the
    account, without the group's name, which strangers do not see. `version`: the chat's version of the join; 0 if not
    known."""

    chat: ChatId
    name: str
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}
    version: int = 0
    faces: dict[AccountId, ProfileSummary] = {}
    """Of the account."""
    time: int = 0
    """As in MembershipChanged."""


class ChatModesChanged(msgspec.Struct, frozen=True):
    """Settings of a group have changed, as ChangeModes names them."""

    chat: ChatId
    by: AccountId
    changes: list[ModeChange]
    faces: dict[AccountId, ProfileSummary] = {}
    time: int = 0


class Invited(msgspec.Struct, frozen=True):
    """The event goes to the invited `account`, the owner and the admins."""

    chat: ChatId
    by: AccountId
    account: AccountId
    name: str
    handle: str = ""
    faces: dict[AccountId, ProfileSummary] = {}


class ChatRenamed(msgspec.Struct, tag="chat_renamed", frozen=True):
    """Sent to all members. `settings`: the new settings, if they have changed. `renamed` False: the name has not
    changed; edges of the previous version show it once more."""

    chat: ChatId
    name: str
    by: AccountId
    renamed: bool = True
    settings: ChatSettingsChanged | None = None
    faces: dict[AccountId, ProfileSummary] = {}
    """The profile summary of `by`, which `settings` has, too."""
    modes: ChatModesChanged | None = None
    """The settings as modes of IRC. Edges of the previous version show the name once more."""
    invited: Invited | None = None
    """An event with an invitation has no other change."""


EdgeEvent = (
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
    """`recipients`: accounts on this node. None: every account on the node."""

    event: EdgeEvent = msgspec.field(name="notice")
    recipients: list[AccountId] | None = None


class FlushReadState(msgspec.Struct):
    """Tells a node to commit the read state of an account now, because the account logs in on another node and reads
    its missed messages there."""

    account: AccountId


class ReadStateFlushed(msgspec.Struct, frozen=True):
    node: NodeId
    present: bool
    """Whether the account still has a connection on that node."""
