"""The members of a chat: their list, and several new ones at once."""

import msgspec

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Role
from shared.contract.routes import Forwarded, Routed
from shared.contract.session import ChatVersion


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


class ListMembers(Forwarded):
    """Requests the members of a chat in order of account, one page after `after`; only members may (`forbidden`).
    `since`: those whose membership, role or silence has changed after this version of the chat, also by leaving; 0:
    all. It counts only if the actor's own membership has not changed since: who joins does not see who was there
    before."""

    route = Routed("session.list_members", MemberList, reads=True)

    chat: ChatId
    after: AccountId = NO_ACCOUNT
    actor: AccountId = NO_ACCOUNT
    since: int = 0


MAX_ADDED = 100
"""Accounts in one request."""


class MembersAdded(msgspec.Struct, frozen=True):
    """`added`: the accounts that are members now, also those that were before, in the order of the request; `rejected`:
    the others. `version`: the chat's."""

    added: list[AccountId]
    rejected: dict[AccountId, Failure]
    version: int


class AddMembers(Forwarded):
    """Adds accounts to a group, at most 100, each as AddMember does, in this order (idempotent: members stay). Errors:
    `forbidden` for an actor that is neither the owner nor an admin."""

    route = Routed("session.add_members", MembersAdded)

    chat: ChatId
    accounts: list[AccountId]
    actor: AccountId = NO_ACCOUNT


class MembershipRequested(msgspec.Struct, frozen=True):
    joined: bool
    """True: joined at once; False: the application is pending, and the name is empty: strangers do not see it."""
    name: str
    version: int = 0
    """The chat's, if joined; 0: not known."""


class RequestMembership(Forwarded):
    """Joins an open group at once, or applies to a group with approval (repeated while pending, it replaces the text
    and notifies again). Errors: `forbidden` for a closed group, `conflict` for a member, `limit` for a full group or
    too many pending requests of the actor."""

    route = Routed("session.request_membership", MembershipRequested)

    chat: ChatId
    text: str = ""
    actor: AccountId = NO_ACCOUNT


class AnswerMembership(Forwarded):
    """The owner or an admin accepts or rejects a pending application; `not_found` without one."""

    route = Routed("session.answer_membership", ChatVersion)

    chat: ChatId
    applicant: AccountId
    accept: bool
    actor: AccountId = NO_ACCOUNT


class AddMember(Forwarded):
    """The owner or an admin adds a friend, or accepts a request. `conflict` for a member, `forbidden` for others."""

    route = Routed("session.add_member", ChatVersion)

    chat: ChatId
    account: AccountId
    actor: AccountId = NO_ACCOUNT


class EndMembership(Forwarded):
    """The actor leaves a group (`account` is its own), or the owner or an admin removes a member of a lower role. An
    owner that leaves is followed by the oldest admin, else by the oldest member. Errors: `not_found` for an account
    that is no member, `forbidden` for a member of the same or a higher role."""

    route = Routed("session.end_membership", ChatVersion)

    chat: ChatId
    account: AccountId
    actor: AccountId = NO_ACCOUNT


class SetRole(Forwarded):
    """The owner of a group gives another member a role. OWNER transfers the group: the former owner becomes an admin.
    Errors: `invalid` for LEFT, `not_found` for an account that is no member, `forbidden` for another actor."""

    route = Routed("session.set_role", ChatVersion)

    chat: ChatId
    account: AccountId
    role: Role
    actor: AccountId = NO_ACCOUNT
