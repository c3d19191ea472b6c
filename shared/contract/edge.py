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
"""The most accounts in RecentJoins. Edges need them when several accounts join at the same time. A join has two
transactions, and other joins may be committed between the two. So the versions in their events do not follow each other
without a gap."""


class RecentJoins(msgspec.Struct, array_like=True, frozen=True):
    """The accounts that have joined a chat after version `since`, up to the version in the enclosing object. Each
    account has the first index that it may see."""

    since: int
    joined: dict[AccountId, int]


def recent_joins(changes: Iterable[tuple[int, AccountId, int]], since: int) -> RecentJoins:
    """The recent joins among `changes`, the membership changes after version `since`, the last change first. Each
    change has the version, the account, and the first index that the account may see (0 if it is no member any more).
    The result begins after the last departure, because a departure needs its own event. It has at most RECENT_JOINS
    accounts."""
    joined: dict[AccountId, int] = {}
    for version, account, first_index in changes:
        if not first_index or len(joined) == RECENT_JOINS:
            return RecentJoins(version, joined)
        joined[account] = first_index
    return RecentJoins(since, joined)


class Delivery(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One committed message and its recipients on this node. If the recipients are None, they are all members that are
    local to the node (a broadcast in a big chat). `version`: the membership version when the message was delivered, or
    a later one."""

    message: Message
    recipients: list[AccountId] | None
    version: int
    pair: MemberPair | None = None
    """The members of a private chat."""
    face: ProfileSummary | None = None
    """The sender's profile summary, as the sender's edge knew it."""
    quote: Quote | None = None
    """The quote of the message to which this message replies."""
    recent: RecentJoins | None = None
    """In a broadcast, the recent joins up to `version`. With them, an edge need not wait for the events of the
    joins."""


class ChangeDelivery(msgspec.Struct, array_like=True, frozen=True):
    """A committed change of a message, with its recipients (see Delivery). The change goes to all connections of the
    recipients except `origin` (node and number). A lost change is not sent again. Clients notice by the chat's `rev`
    that they lack a change. `face`: the profile summary of the account that made the change, as this account's edge
    knew it."""

    change: MessageChange
    recipients: list[AccountId] | None
    origin: tuple[NodeId, int] | None = None
    face: ProfileSummary | None = None


class DeliveryBatch(msgspec.Struct, array_like=True, frozen=True):
    """`counter` counts this replica's delivery batches on this subject, from 1; a skipped number shows a loss. After
    the last batch, one without deliveries follows. Each process of a replica has a new `epoch`."""

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
    the previous version also names each node. A counter without its delivery batch shows a loss. `leaving`: the replica
    shuts down after this heartbeat. `now`: the replica's time in Unix milliseconds; 0 if unknown. `partitions`: the
    number of partitions of the chats. The replica may lead some of them, and then serves its own subject. It is 0 if
    the replica knows no partitions, and -1 if the replica stops and leads none any more. `placement`, `wants_accounts`,
    `known_nodes`: not sent any more. `load`: the CPU cores that the replica has used since its previous heartbeat.
    `spare`: the replica is a standby: it leads no partitions while another replica does."""

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
    node announces all its accounts every few seconds, in several announcements if there are many. It announces each new
    login at once. With 0 milliseconds, presence is complete again. `number`, `starts`, `ends`: not sent any more.
    `registered`: presence has the accounts; only the previous version sends such events."""

    node: NodeId
    milliseconds: int
    accounts: list[AccountId] | None = None
    number: int = 0
    starts: bool = False
    ends: bool = False
    registered: bool = False


# The session and auth services publish the events below to the edges of the accounts concerned. If an event is lost,
# the next sync shows its change.


class ChatCreated(msgspec.Struct, tag="chat_created", frozen=True):
    """A new chat. `kept`: for each new member, the number of the stored event (a MembershipAnswered). The edge deletes
    it after the client has shown it."""

    chat: ChatId
    by: AccountId
    members: list[AccountId]
    """The members on this node, or all members if presence is unknown."""
    version: int = 1
    name: str = ""
    kept: dict[AccountId, int] = {}


class JoinedAt(msgspec.Struct, array_like=True, frozen=True):
    """The state of a chat when a member joined: the chat's last index, and the number of its last change. Later
    messages and changes are pushed to the member."""

    head: int
    rev: int


class MembershipChanged(msgspec.Struct, tag="membership_changed", frozen=True):
    """The new role of an account in a chat. LEFT means that it is no longer a member. `since`: no other membership has
    changed between this version and `version`; 0 if this is unknown. `by`: the account that ended the membership or set
    the role; NO_ACCOUNT for a join. `disbanded`: the memberships of all members have ended. `recent`: recent joins of
    other accounts before `version`."""

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
    """The state of the chat when the account joined. None if an older version of the message or session service has
    replied."""
    faces: dict[AccountId, ProfileSummary] = {}
    """The profile summaries of the accounts that the event names."""
    reason: str = ""
    """The reason for the end of the membership, as given by the account that ended it."""
    gone: bool = False
    """The account is deleted, and leaves all its groups."""
    by_modes: bool = False
    """A ChatModesChanged also reports this change."""
    time: int = 0
    """The time of the happening (Unix ms); 0 if there is none."""


class ProfileChanged(msgspec.Struct, tag="profile_changed", frozen=True):
    """`renamed`: the account has set its nickname."""

    profile: Profile
    renamed: bool = True
    former_nick: str = ""
    """The previous nick, if the nick has changed."""
    registered: bool = False
    """The account was a guest before, and is registered now."""
    former_guest: str = ""
    """The previous `guest` of the profile, if the account is registered now."""


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
    """A friend request to `account`, which gets this event."""

    applicant: AccountId
    account: AccountId
    text: str


class FriendshipAnswered(msgspec.Struct, tag="friendship_answered", frozen=True):
    """The answer to a friend request. Both accounts get it if the request is accepted, and only the applicant if it is
    rejected. `kept`: for each account, the number of the stored event. The edge deletes it after the client has shown
    it."""

    applicant: AccountId
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}


class MembershipApplied(msgspec.Struct, tag="membership_applied", frozen=True):
    """A membership request, which the owner and the admins of the group get."""

    applicant: AccountId
    chat: ChatId
    text: str


class MembershipAnswered(msgspec.Struct, tag="membership_answered", frozen=True):
    """`account` has joined the group, or was rejected. A join goes to all members. A rejection goes only to the
    account. It lacks the group's name, which accounts outside the group may not see. `version`: the chat's version with
    the join; 0 if unknown."""

    chat: ChatId
    name: str
    account: AccountId
    accepted: bool
    kept: dict[AccountId, int] = {}
    version: int = 0
    faces: dict[AccountId, ProfileSummary] = {}
    """The profile summary of the account."""
    time: int = 0
    """See MembershipChanged."""


class ChatModesChanged(msgspec.Struct, frozen=True):
    """Settings of a group have changed. The names of the settings are the same as in ChangeModes."""

    chat: ChatId
    by: AccountId
    changes: list[ModeChange]
    faces: dict[AccountId, ProfileSummary] = {}
    time: int = 0


class Invited(msgspec.Struct, frozen=True):
    """An invitation. The invited `account`, the owner and the admins get this event."""

    chat: ChatId
    by: AccountId
    account: AccountId
    name: str
    handle: str = ""
    faces: dict[AccountId, ProfileSummary] = {}


class ChatRenamed(msgspec.Struct, tag="chat_renamed", frozen=True):
    """Settings of a group have changed. All members get this event. `settings`: the new settings, if they have changed.
    If `renamed` is False, the name has not changed, but edges of the previous version show it again."""

    chat: ChatId
    name: str
    by: AccountId
    renamed: bool = True
    settings: ChatSettingsChanged | None = None
    faces: dict[AccountId, ProfileSummary] = {}
    """The profile summary of `by`. `settings` also has it."""
    modes: ChatModesChanged | None = None
    """The changed settings as modes of IRC. Edges of the previous version show the name again."""
    invited: Invited | None = None
    """The invitation that this event reports. The event then reports no other change."""


SocialEvent = (
    ProfileChanged | FriendshipRequested | FriendshipAnswered | MembershipApplied | MembershipAnswered | ChatRenamed
)
SessionEvent = ChatCreated | MembershipChanged | SocialEvent
EdgeEvent = SessionEvent | Revoked | Kicked | MaintenanceSet | VerificationOpened


class Notify(msgspec.Struct, frozen=True):
    """An event for accounts on this node. If `recipients` is None, it is for every account on the node."""

    event: EdgeEvent = msgspec.field(name="notice")
    recipients: list[AccountId] | None = None


class FlushReadState(msgspec.Struct):
    """Requests a node to commit the read state of an account now. The account logs in on another node, where it reads
    its missed messages."""

    account: AccountId


class ReadStateFlushed(msgspec.Struct, frozen=True):
    node: NodeId
    present: bool
    """Whether the account still has a connection on that node."""
