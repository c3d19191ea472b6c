"""The members of a chat: their list, and several new ones at once."""

import msgspec

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Role


class ListMembers(msgspec.Struct):
    """Requests the members of a chat in order of account, one page after `after`; only members may (`forbidden`).
    `since`: those whose membership, role or silence has changed after this version of the chat, also by leaving; 0:
    all. It counts only if the actor's own membership has not changed since: who joins does not see who was there
    before."""

    chat: ChatId
    after: AccountId = NO_ACCOUNT
    actor: AccountId = NO_ACCOUNT
    since: int = 0


class MemberRole(msgspec.Struct, array_like=True, frozen=True):
    """`role` LEFT: no longer a member. `silenced`: until then (Unix ms), perhaps in the past; 0: not at all.
    `nickname`: None of a former member, and from a replica of a version that does not look it up. `avatar`: as in
    Profile."""

    account: AccountId
    role: Role
    silenced: int = 0
    nickname: str | None = None
    avatar: str = ""


class MemberList(msgspec.Struct, frozen=True):
    """`silenced`: all but the owner and the admins, as in MemberRole. `version`: the chat's; 0: from a replica of the
    version before. `since`: these are the changes after this version; 0: all members."""

    members: list[MemberRole]
    more: bool = False
    silenced: int = 0
    version: int = 0
    since: int = 0


MAX_ADDED = 100
"""Accounts in one request."""


class AddMembers(msgspec.Struct):
    """Adds accounts to a group, at most 100, each as AddMember does, in this order (idempotent: members stay). Errors:
    `forbidden` for an actor that is neither the owner nor an admin."""

    chat: ChatId
    accounts: list[AccountId]
    actor: AccountId = NO_ACCOUNT


class MembersAdded(msgspec.Struct, frozen=True):
    """`added`: the accounts that are members now, also those that were before, in the order of the request; `rejected`:
    the others. `version`: the chat's."""

    added: list[AccountId]
    rejected: dict[AccountId, Failure]
    version: int
