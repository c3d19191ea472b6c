"""Requests about other users: to session, the accounts that an account blocks; to auth, accounts by their names."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId


class SetBlocked(msgspec.Struct):
    """The actor blocks `account`, or unblocks it (idempotent). Private messages and friend requests of a blocked
    account are rejected with `forbidden`, and it cannot add the actor to groups. Errors: `not_found` for an unknown
    account, `limit` for too many blocked ones."""

    account: AccountId
    blocked: bool
    actor: AccountId = NO_ACCOUNT


class ListBlocked(msgspec.Struct):
    """Requests the accounts that the actor blocks."""

    actor: AccountId = NO_ACCOUNT


class BlockedAccounts(msgspec.Struct, frozen=True):
    """Ascending."""

    accounts: list[AccountId]


class FindBlockedMembers(msgspec.Struct):
    """Requests those of these members of private chats that block the other member, or that this one blocks. Requested
    by edges, for no user."""

    members: list[tuple[AccountId, ChatId]]


class BlockedMembers(msgspec.Struct, frozen=True):
    members: list[tuple[AccountId, ChatId]]


class FindWatchable(msgspec.Struct):
    """Requests those of these accounts of which the actor may see the presence: itself, its friends, and members of its
    private chats, unless they block it."""

    accounts: list[AccountId]
    actor: AccountId


class WatchableAccounts(msgspec.Struct, frozen=True):
    accounts: list[AccountId]


class LookUpAccounts(msgspec.Struct):
    """Requests the accounts whose OC number, username or e-mail address is exactly this one. Errors: `rate_limited` for
    too many requests of the actor, `invalid`."""

    identifier: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"LookUpAccounts(actor={self.actor})"


class AccountsLookedUp(msgspec.Struct, frozen=True):
    """Ascending; at most one for each kind of name."""

    accounts: list[AccountId]
