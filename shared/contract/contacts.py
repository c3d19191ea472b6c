"""The requests about other users: blocked accounts (for the session service), and accounts by their names (for the auth
service)."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Confidential
from shared.contract.routes import Ack, Forwarded, Routed


class SetBlocked(Forwarded):
    """The actor blocks or unblocks `account`. A blocked account's private messages and friend requests to the actor are
    rejected with `forbidden`, and it cannot add the actor to groups. Errors: `not_found` for an unknown account,
    `limit` for too many blocked accounts."""

    route = Routed("session.set_blocked", Ack)
    account: AccountId
    blocked: bool


class BlockedAccounts(msgspec.Struct, frozen=True):
    """The blocked accounts, by ascending numbers."""

    accounts: list[AccountId]


class ListBlocked(Forwarded):
    """A request for the accounts that the actor blocks."""

    route = Routed("session.list_blocked", BlockedAccounts, reads=True)


class BlockedMembers(msgspec.Struct, frozen=True):
    members: list[tuple[AccountId, ChatId]]


class FindBlockedMembers(msgspec.Struct):
    """A request for the members who block the other member, or are blocked, in these private chats. Edges send this
    request on their own behalf."""

    route = Routed("session.blocked_members", BlockedMembers)
    members: list[tuple[AccountId, ChatId]]


class WatchableAccounts(msgspec.Struct, frozen=True):
    accounts: list[AccountId]


class FindWatchable(msgspec.Struct):
    """A request for the accounts among these whose presence the actor may see: the actor itself, its friends, and the
    members of its private chats, unless they block the actor."""

    route = Routed("session.watchable", WatchableAccounts)
    accounts: list[AccountId]
    actor: AccountId
    near: bool = False
    """If set, the reply also has guests, and members of common groups with at most 200 members."""


class AccountsLookedUp(msgspec.Struct, frozen=True):
    """The accounts found, ascending, at most one for each kind of name."""

    accounts: list[AccountId]


class LookUpAccounts(Confidential, msgspec.Struct):
    """Finds the accounts whose OC number, username or e-mail address is exactly this text. Errors: `rate_limited` for
    too many requests of the actor, `invalid`."""

    route = Routed("auth.look_up", AccountsLookedUp)
    identifier: str
    actor: AccountId = NO_ACCOUNT


class RequestFriendship(Forwarded):
    """Sends a friend request to `account`. A repetition while the request is pending replaces the text, and notifies
    again. If `account` has a pending request to the actor, both become friends at once. Errors: `conflict` for friends,
    `too_large` for a text above 1,000 characters, `limit` for too many pending requests of the actor."""

    route = Routed("session.request_friendship", Ack)
    account: AccountId
    text: str = ""


class AnswerFriendship(Forwarded):
    """Accepts or rejects the pending request of `applicant` to the actor. Error: `not_found` if there is no such
    request."""

    route = Routed("session.answer_friendship", Ack)
    applicant: AccountId
    accept: bool


class EndFriendship(Forwarded):
    """Ends a friendship. Error: `not_found` if there is no such friendship."""

    route = Routed("session.end_friendship", Ack)
    account: AccountId


class PendingFriendship(msgspec.Struct, array_like=True, frozen=True):
    applicant: AccountId
    text: str


class PendingMembership(msgspec.Struct, array_like=True, frozen=True):
    applicant: AccountId
    chat: ChatId
    text: str


class Requests(msgspec.Struct, frozen=True):
    friendships: list[PendingFriendship]
    memberships: list[PendingMembership]


class ListRequests(Forwarded):
    """A request for the requests that wait for this account's answer: friend requests, and membership requests for
    groups that the account owns or administers. Oldest first, at most 1,000 of each kind and as many as fit into one
    reply. Once these requests are answered, the next ones are listed."""

    route = Routed("session.list_requests", Requests, reads=True)


class PendingEvent(msgspec.Struct, array_like=True, frozen=True):
    """An event that is stored until the client has shown it. `number`: higher for each later event. `event`: a packed
    shared.contract.edge.EdgeEvent."""

    number: int
    event: bytes = msgspec.field(name="notice")


class PendingEvents(msgspec.Struct, frozen=True):
    kept: list[PendingEvent]


class ListPendingEvents(msgspec.Struct):
    """A request for the account's pending events (answers and memberships), oldest first, as many as fit into one
    reply. The newest 1,000 of the last 90 days are stored. In a big group, the event of a new member is stored only for
    that member."""

    route = Routed("session.list_kept", PendingEvents)
    actor: AccountId = NO_ACCOUNT


class DropPendingEvents(msgspec.Struct):
    """Deletes pending events that the client has shown."""

    route = Routed("session.drop_kept", Ack)
    numbers: list[int]
    actor: AccountId = NO_ACCOUNT
