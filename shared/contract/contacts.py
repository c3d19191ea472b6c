"""Requests about other users: to session, the accounts that an account blocks; to auth, accounts by their names."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Ack, Forwarded, Routed


class SetBlocked(Forwarded):
    """The actor blocks `account`, or unblocks it (idempotent). Private messages and friend requests of a blocked
    account are rejected with `forbidden`, and it cannot add the actor to groups. Errors: `not_found` for an unknown
    account, `limit` for too many blocked ones."""

    route = Routed("session.set_blocked", Ack)

    account: AccountId
    blocked: bool
    actor: AccountId = NO_ACCOUNT


class BlockedAccounts(msgspec.Struct, frozen=True):
    """Ascending."""

    accounts: list[AccountId]


class ListBlocked(Forwarded):
    """Requests the accounts that the actor blocks."""

    route = Routed("session.list_blocked", BlockedAccounts, reads=True)

    actor: AccountId = NO_ACCOUNT


class BlockedMembers(msgspec.Struct, frozen=True):
    members: list[tuple[AccountId, ChatId]]


class FindBlockedMembers(msgspec.Struct):
    """Requests those of these members of private chats that block the other member, or that this one blocks. Requested
    by edges, for no user."""

    route = Routed("session.blocked_members", BlockedMembers)

    members: list[tuple[AccountId, ChatId]]


class WatchableAccounts(msgspec.Struct, frozen=True):
    accounts: list[AccountId]


class FindWatchable(msgspec.Struct):
    """Requests those of these accounts of which the actor may see the presence: itself, its friends, and members of its
    private chats, unless they block it."""

    route = Routed("session.watchable", WatchableAccounts)

    accounts: list[AccountId]
    actor: AccountId


class AccountsLookedUp(msgspec.Struct, frozen=True):
    """Ascending; at most one for each kind of name."""

    accounts: list[AccountId]


class LookUpAccounts(msgspec.Struct):
    """Requests the accounts whose OC number, username or e-mail address is exactly this one. Errors: `rate_limited` for
    too many requests of the actor, `invalid`."""

    route = Routed("auth.look_up", AccountsLookedUp)

    identifier: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"LookUpAccounts(actor={self.actor})"


class RequestFriendship(Forwarded):
    """Sends a friend request to `account`. Repeated while pending, it replaces the text and notifies again. If
    `account` has a pending request to the actor, both become friends at once. Errors: `conflict` for friends,
    `too_large` for a text above 1,000 characters, `limit` for too many pending requests of the actor."""

    route = Routed("session.request_friendship", Ack)

    account: AccountId
    text: str = ""
    actor: AccountId = NO_ACCOUNT


class AnswerFriendship(Forwarded):
    """Accepts or rejects the pending request of `applicant` to the actor; `not_found` without one."""

    route = Routed("session.answer_friendship", Ack)

    applicant: AccountId
    accept: bool
    actor: AccountId = NO_ACCOUNT


class EndFriendship(Forwarded):
    """Ends a friendship; `not_found` without one."""

    route = Routed("session.end_friendship", Ack)

    account: AccountId
    actor: AccountId = NO_ACCOUNT


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
    """Requests that wait for this account's answer: friend requests, and applications to groups it owns or administers.
    Oldest first, at most 1,000 of each and as many as fit into one reply; the others follow when these are answered."""

    route = Routed("session.list_requests", Requests, reads=True)

    actor: AccountId = NO_ACCOUNT


class PendingNotice(msgspec.Struct, array_like=True, frozen=True):
    """`number` increases; `notice` is a packed shared.contract.edge.Notice."""

    number: int
    notice: bytes


class PendingNotices(msgspec.Struct, frozen=True):
    kept: list[PendingNotice]


class ListPendingNotices(msgspec.Struct):
    """Requests the account's pending notices (answers and memberships), oldest first, as many as fit into one reply.
    The newest 1,000 of the last 90 days are stored. A new member of a big group is stored for that member only."""

    route = Routed("session.list_kept", PendingNotices)

    actor: AccountId = NO_ACCOUNT


class DropPendingNotices(msgspec.Struct):
    """Deletes pending notices that have been shown."""

    route = Routed("session.drop_kept", Ack)

    numbers: list[int]
    actor: AccountId = NO_ACCOUNT
