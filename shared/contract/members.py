"""Requests to session: the members of groups, their roles, bans, silences and links; settings and end of a group."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import JoinPolicy, Role
from shared.contract.routes import Ack, Forwarded, Route, Routed
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


class BanMember(Forwarded):
    """The owner or an admin of a group bans an account of a lower role, or one that is no member: it is removed, and
    cannot join or be added before `until` (Unix ms; 0: ever). Repeated, it sets the time. Errors: `not_found` for an
    unknown account, `forbidden` for a member of the same or a higher role, `limit` for too many bans."""

    route = Routed("session.ban_member", ChatVersion)

    chat: ChatId
    account: AccountId
    until: int = 0
    actor: AccountId = NO_ACCOUNT


class UnbanMember(Forwarded):
    """The owner or an admin ends a ban (idempotent)."""

    route = Routed("session.unban_member", ChatVersion)

    chat: ChatId
    account: AccountId
    actor: AccountId = NO_ACCOUNT


class Ban(msgspec.Struct, array_like=True, frozen=True):
    """`until`: Unix ms, 0: it does not end. `by`: who banned the account."""

    account: AccountId
    until: int
    by: AccountId


class BanList(msgspec.Struct, frozen=True):
    """In order of account."""

    bans: list[Ban]


class ListBans(Forwarded):
    """Requests the bans of a group; only the owner and the admins may (`forbidden`)."""

    route = Routed("session.list_bans", BanList, reads=True)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class SilenceMember(Forwarded):
    """The owner or an admin silences a member of a lower role, or (NO_ACCOUNT) all but the owner and the admins: their
    messages are rejected with `forbidden` before `until` (Unix ms); 0 ends it. The silence of a
    former member goes on when it joins again. Errors: `not_found` for an account that is no member, `forbidden` for a
    member of the same or a higher role, `limit` for too many silenced members."""

    route = Routed("session.silence_member", ChatVersion)

    chat: ChatId
    account: AccountId
    until: int
    actor: AccountId = NO_ACCOUNT


class SetChat(Forwarded):
    """The owner or an admin changes a group: its name, as RenameChat does, its picture, its topic, who may join,
    whether members see what the others have read, for how long senders may edit and recall, and what new members see,
    as in Chat."""

    route = Routed("session.set_chat", ChatVersion)
    rules_route = Routed("session.set_chat_rules", ChatVersion)
    """Of what a session of the previous version would ignore."""

    chat: ChatId
    name: str | UnsetType = UNSET
    receipts: bool | UnsetType = UNSET
    actor: AccountId = NO_ACCOUNT
    avatar: str | UnsetType = UNSET
    avatar_hash: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    join_policy: JoinPolicy | UnsetType = UNSET
    edit_seconds: int | UnsetType | None = UNSET
    recall_seconds: int | UnsetType | None = UNSET
    history_for_new: bool | UnsetType | None = UNSET

    @property
    def route_now(self) -> Route[Any, Any]:
        rules = (self.edit_seconds, self.recall_seconds, self.history_for_new)
        return self.route if all(rule is UNSET for rule in rules) else self.rules_route


class DisbandChat(Forwarded):
    """The owner ends a group for all members; nobody can join it again. Its messages are stored as before."""

    route = Routed("session.disband_chat", ChatVersion)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class InvitationLink(msgspec.Struct, frozen=True):
    """`link`: 128 random bits, a secret. `uses`: those that are left, 0: any number; `expires` as in CreateLink.
    `paused`: nobody joins by it, because its maker may not manage the group now."""

    link: str
    by: AccountId
    uses: int = 0
    expires: int = 0
    paused: bool = False

    def __repr__(self) -> str:
        return f"InvitationLink(***, by={self.by})"


class CreateLink(Forwarded):
    """The owner or an admin of a group makes a link: who has it joins without approval. `uses`: accounts that may join
    by it, 0: any number. `expires`: Unix ms, 0: never. `nonce`: of the client, which may repeat the request under it,
    and gets the first reply; empty: none. Errors: `limit` for too many links of a group, `conflict` for the nonce of
    another request."""

    route = Routed("session.create_link", InvitationLink)

    chat: ChatId
    uses: int = 0
    expires: int = 0
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""


class InvitationLinks(msgspec.Struct, frozen=True):
    """Oldest first."""

    links: list[InvitationLink]


class ListLinks(Forwarded):
    """Requests the links of a group that can be used; only the owner and the admins may (`forbidden`)."""

    route = Routed("session.list_links", InvitationLinks, reads=True)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class DeleteLink(Forwarded):
    """The owner or an admin deletes a link (idempotent)."""

    route = Routed("session.delete_link", Ack)

    chat: ChatId
    link: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"DeleteLink({self.chat}, ***)"


class JoinedByLink(msgspec.Struct, frozen=True):
    """`version`: the chat's; 0: not known."""

    chat: ChatId
    name: str
    version: int = 0


class JoinByLink(Forwarded):
    """Joins the group of a link. Errors: `not_found` for one that is unknown, used up, expired or paused, `conflict`
    for a member, `forbidden` for a banned account, `limit` for a full group or too many groups of the actor."""

    route = Routed("session.join_by_link", JoinedByLink)

    link: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"JoinByLink(***, actor={self.actor})"
