"""The requests to session about the members of groups, their roles, bans, silences and links, and about settings and
the end of a group."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, JoinPolicy, Role
from shared.contract.routes import Ack, Forwarded, Routed
from shared.contract.session import ChatVersion


class MemberRole(msgspec.Struct, array_like=True, frozen=True):
    """`role` LEFT: no longer a member. `silenced`: when the silence ends (Unix ms), perhaps in the past; 0: none.
    `nickname`: None for a past member, and if an older version sends it. `avatar`: as in Profile."""

    account: AccountId
    role: Role
    silenced: int = 0
    nickname: str | None = None
    avatar: str = ""
    nick: str = ""
    guest: str = ""
    real_name: str = ""
    """Both as in Profile; `real_name`: the signature of a guest."""
    speaker: bool = False
    """The member posts although the group is silenced."""
    bot: bool = False


class MemberList(msgspec.Struct, frozen=True):
    """`silenced`: as in MemberRole, for all but the owner and the admins. `version`: the chat's; 0 from the previous
    version of session. `since`: the list has the changes after this version; 0: all members. `after`: where the next
    page of a query begins."""

    members: list[MemberRole]
    more: bool = False
    silenced: int = 0
    version: int = 0
    since: int = 0
    after: AccountId = NO_ACCOUNT


class ListMembers(Forwarded):
    """A request for one page of a chat's members, in the order of accounts after `after`; only members may send it
    (`forbidden`). `since`: only accounts whose membership, role or silence has changed after this version of the chat,
    also those that left; 0: all. `since` is ignored if the actor's own membership has changed after it, because a new
    member does not see earlier members. `query`: only present members whose nickname begins with this text, in any case
    of letters. `count`: the highest number of members; 0: as many as fit."""

    route = Routed("session.list_members", MemberList, reads=True)
    chat: ChatId
    after: AccountId = NO_ACCOUNT
    actor: AccountId = NO_ACCOUNT
    since: int = 0
    query: str = ""
    count: int = 0


MAX_ADDED = 100
"""The most accounts of one request."""


class MembersAdded(msgspec.Struct, frozen=True):
    """`added`: the accounts that are members now, in the order of the request; some were before. `rejected`: the
    others. `version`: the chat's."""

    added: list[AccountId]
    rejected: dict[AccountId, Failure]
    version: int


class AddMembers(Forwarded):
    """Adds accounts to a group, at most 100, one after another, each as AddMember does (idempotent). Errors:
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
    """The chat's version, if joined; 0: unknown."""


class RequestMembership(Forwarded):
    """Joins an open group at once, or applies to a group with approval (repeated while pending, it replaces the text
    and notifies again). Errors: `forbidden` for a closed group, `conflict` for a member, `limit` for a full group or
    too many pending requests of the actor."""

    route = Routed("session.request_membership", MembershipRequested)
    chat: ChatId
    text: str = ""
    actor: AccountId = NO_ACCOUNT
    key: str = ""
    """The group's key, if it has one."""


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
    reason: str = ""
    """The members see it, at most 300 characters."""


class SetRole(Forwarded):
    """The owner of a group gives another member a role. OWNER transfers the group, and the previous owner becomes an
    admin. Errors: `invalid` for LEFT, `not_found` for an account that is no member, `forbidden` for another actor."""

    route = Routed("session.set_role", ChatVersion)
    chat: ChatId
    account: AccountId
    role: Role
    actor: AccountId = NO_ACCOUNT


class BanMember(Forwarded):
    """The owner or an admin of a group bans an account that has a lower role or is no member. The account is removed,
    and cannot join or be added before `until` (Unix ms; 0: the ban does not end). A repeated ban sets the time. Errors:
    `not_found` for an unknown account, `forbidden` for a member of the same or a higher role, `limit` for too many
    bans."""

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
    """`until`: Unix ms; 0: the ban does not end. `by`: the account that made the ban."""

    account: AccountId
    until: int
    by: AccountId


class BanList(msgspec.Struct, frozen=True):
    """The bans, in order of account."""

    bans: list[Ban]


class ListBans(Forwarded):
    """A request for the bans of a group; only the owner and the admins may send it (`forbidden`)."""

    route = Routed("session.list_bans", BanList, reads=True)
    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class SilenceMember(Forwarded):
    """The owner or an admin silences a member of a lower role, or (NO_ACCOUNT) all members except the owner and the
    admins. Before `until` (Unix ms), messages of silenced members are rejected with `forbidden`. 0 ends the silence. A
    silence outlasts leaving and joining again. Errors: `not_found` for an account that is no member, `forbidden` for a
    member of the same or a higher role, `limit` for too many silenced members."""

    route = Routed("session.silence_member", ChatVersion)
    chat: ChatId
    account: AccountId
    until: int
    actor: AccountId = NO_ACCOUNT


class SetChat(Forwarded):
    """The owner or an admin changes settings of a group, named as in Chat: the name (as RenameChat does), the picture,
    the topic, the rule for joining, read receipts, the time for edits and recalls, and the messages that new members
    see."""

    route = Routed("session.set_chat", ChatVersion)
    rules_route = Routed("session.set_chat_rules", ChatVersion)
    """The previous version sends these settings, which it calls rules, to this route."""

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
    handle: str | UnsetType = UNSET
    """Only the owner may change the handle. Empty: the group gives up its handle. `conflict`, if another group has
    it."""
    reason: str = ""
    """Of another handle; members on IRC see it, at most 300 characters."""


class ModeChange(msgspec.Struct, array_like=True, frozen=True):
    """One setting of a group as IRC names it. `q`, `o`, `v`: owner, admin, speaker, `text` is the account. `b`, `e`,
    `I`: masks of those that may neither join nor post, that may nevertheless, that may join a closed group. `i` closed,
    `m` silenced, `k` key, `l` most members. Flags: see Chat.modes."""

    on: bool
    mode: str
    text: str = ""


class ModesChanged(ChatVersion, frozen=True):
    """`changes`: the changes that had an effect."""

    changes: tuple[ModeChange, ...] = ()


class ChangeModes(Forwarded):
    """The owner or an admin changes settings of a group, all or none. Errors as of SetChat, SetRole."""

    route = Routed("session.change_modes", ModesChanged)
    chat: ChatId
    changes: list[ModeChange]
    actor: AccountId = NO_ACCOUNT


class Mask(msgspec.Struct, array_like=True, frozen=True):
    """`by`: the name of the account that has set the mask. `created`: Unix ms."""

    mask: str
    by: str
    created: int


class MaskList(msgspec.Struct, frozen=True):
    masks: list[Mask]


class ListMasks(Forwarded):
    """Requests the masks of one kind; members may request `b`, the owner and admins all."""

    route = Routed("session.list_masks", MaskList, reads=True)
    chat: ChatId
    kind: str
    actor: AccountId = NO_ACCOUNT


class Invite(Forwarded):
    """A member invites an account to join once, within 7 days, even if other rules forbid it. In a closed group, only
    the owner and the admins may invite. Errors: `conflict` for a member, `not_found` for an unknown account."""

    route = Routed("session.invite", ChatVersion)
    chat: ChatId
    account: AccountId
    actor: AccountId = NO_ACCOUNT


class InvitedChats(msgspec.Struct, frozen=True):
    chats: list[Chat]


class ListInvitations(Forwarded):
    """Requests the groups that the actor is invited to, at most 100."""

    route = Routed("session.list_invitations", InvitedChats, reads=True)
    actor: AccountId = NO_ACCOUNT


class DisbandChat(Forwarded):
    """The owner ends a group for all members; nobody can join it again. The messages of the group are stored as
    before."""

    route = Routed("session.disband_chat", ChatVersion)
    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class InvitationLink(msgspec.Struct, frozen=True):
    """`link`: 128 random bits, a secret. `uses`: how many are left; 0: any number. `expires`: as in CreateLink.
    `paused`: nobody can join by the link, because its maker may not manage the group now."""

    link: str
    by: AccountId
    uses: int = 0
    expires: int = 0
    paused: bool = False

    def __repr__(self) -> str:
        return f"InvitationLink(***, by={self.by})"


class CreateLink(Forwarded):
    """The owner or an admin of a group makes a link, by which any account joins without approval. `uses`: how many may
    join; 0: any number. `expires`: Unix ms; 0: never. `nonce`: the client's nonce, or empty; a repeated request with
    the same nonce gets the first reply. Errors: `limit` for too many links of a group, `conflict` for the nonce of
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
    """A request for the usable links of a group; only the owner and the admins may send it (`forbidden`)."""

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
    """`version`: the chat's version; 0: unknown."""

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
