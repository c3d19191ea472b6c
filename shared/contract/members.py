"""The requests to the session service about the members, roles, bans, silences, links and settings of groups, and about
the end of a group."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, Confidential, JoinPolicy, Role
from shared.contract.routes import Ack, Forwarded, Routed
from shared.contract.session import ChatVersion


class MemberRole(msgspec.Struct, array_like=True, frozen=True):
    """A member and its role. The role LEFT means that the account is no longer a member. `silenced`: the end of the
    silence (Unix ms), perhaps in the past; 0 if there is none. `nickname`: None for a past member, and from an older
    version. For `avatar`, see Profile."""

    account: AccountId
    role: Role
    silenced: int = 0
    nickname: str | None = None
    avatar: str = ""
    nick: str = ""
    guest: str = ""
    real_name: str = ""
    """The signature of a guest. For `nick` and `guest`, see Profile."""
    speaker: bool = False
    """The member may post even if the group is silenced."""
    bot: bool = False


class MemberList(msgspec.Struct, frozen=True):
    """A page of members. `silenced`: the end of the silence of all members except the owner and the admins; see
    MemberRole. `version`: the chat's version; 0 from the previous version of the session service. `since`: the list has
    the changes after this version; 0 if it has all members. `after`: the next page of a query begins after this
    account."""

    members: list[MemberRole]
    more: bool = False
    silenced: int = 0
    version: int = 0
    since: int = 0
    after: AccountId = NO_ACCOUNT


class ListMembers(Forwarded):
    """A request for one page of a chat's members, in the order of accounts after `after`; only members may send it
    (`forbidden`). `since`: only accounts whose membership, role or silence has changed after this version of the chat,
    including accounts that have left; 0 for all members. `since` is ignored if the actor's own membership has changed
    after it, because a new member does not see earlier members. `query`: only present members whose nickname begins
    with this text, in any case of letters. `count`: the most members; 0 for as many as fit."""

    route = Routed("session.list_members", MemberList, reads=True)
    chat: ChatId
    after: AccountId = NO_ACCOUNT
    since: int = 0
    query: str = ""
    count: int = 0


MAX_ADDED = 100
"""The most accounts in one request."""


class MembersAdded(msgspec.Struct, frozen=True):
    """`added`: the accounts that are members now, in the order of the request. Some of them may have been members
    before. `rejected`: the other accounts. `version`: the chat's version."""

    added: list[AccountId]
    rejected: dict[AccountId, Failure]
    version: int


class AddMembers(Forwarded):
    """Adds at most 100 accounts to a group, one after the other, as AddMember does. A repetition changes nothing.
    Error: `forbidden` for an actor that is neither the owner nor an admin."""

    route = Routed("session.add_members", MembersAdded)
    chat: ChatId
    accounts: list[AccountId]


class MembershipRequested(msgspec.Struct, frozen=True):
    joined: bool
    """True if the account has joined at once. False if the request is pending; the name is then empty, because accounts
    outside the group may not see it."""
    name: str
    version: int = 0
    """The chat's version if the account has joined; 0 if unknown."""


class RequestMembership(Forwarded):
    """Joins an open group at once, or requests membership of a group that needs approval. If the request is repeated
    while it is pending, the text is replaced, and the admins are notified again. Errors: `forbidden` for a closed
    group, `conflict` for a member, `limit` for a full group or too many pending requests of the actor."""

    route = Routed("session.request_membership", MembershipRequested)
    chat: ChatId
    text: str = ""
    key: str = ""
    """The group's key, if it has one."""


class AnswerMembership(Forwarded):
    """The owner or an admin accepts or rejects a pending membership request. Error: `not_found` if there is none."""

    route = Routed("session.answer_membership", ChatVersion)
    chat: ChatId
    applicant: AccountId
    accept: bool


class AddMember(Forwarded):
    """The owner or an admin adds a friend, or accepts a request. Errors: `conflict` for a member, `forbidden` for any
    other account."""

    route = Routed("session.add_member", ChatVersion)
    chat: ChatId
    account: AccountId


class EndMembership(Forwarded):
    """The actor leaves a group (`account` is its own), or the owner or an admin removes a member of a lower role. If
    the owner leaves, the admin who joined first becomes the owner, or else the member who joined first. Errors:
    `not_found` for an account that is no member, `forbidden` for a member of the same or a higher role."""

    route = Routed("session.end_membership", ChatVersion)
    chat: ChatId
    account: AccountId
    reason: str = ""
    """The reason, which the members see; at most 300 characters."""


class SetRole(Forwarded):
    """The owner of a group gives another member a role. OWNER transfers the group, and the previous owner becomes an
    admin. Errors: `invalid` for LEFT, `not_found` for an account that is no member, `forbidden` for another actor."""

    route = Routed("session.set_role", ChatVersion)
    chat: ChatId
    account: AccountId
    role: Role


class BanMember(Forwarded):
    """The owner or an admin of a group bans an account that has a lower role or is no member. The account is removed,
    and cannot join or be added before `until` (Unix ms; 0: the ban does not end). A repeated ban sets a new time.
    Errors: `not_found` for an unknown account, `forbidden` for a member of the same or a higher role, `limit` for too
    many bans."""

    route = Routed("session.ban_member", ChatVersion)
    chat: ChatId
    account: AccountId
    until: int = 0


class UnbanMember(Forwarded):
    """The owner or an admin ends a ban. A repetition changes nothing."""

    route = Routed("session.unban_member", ChatVersion)
    chat: ChatId
    account: AccountId


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


class SilenceMember(Forwarded):
    """The owner or an admin silences a member of a lower role, or (NO_ACCOUNT) all members except the owner and the
    admins. Before `until` (Unix ms), messages of silenced members are rejected with `forbidden`. 0 ends the silence. A
    silence stays if the member leaves and joins again. Errors: `not_found` for an account that is no member,
    `forbidden` for a member of the same or a higher role, `limit` for too many silenced members."""

    route = Routed("session.silence_member", ChatVersion)
    chat: ChatId
    account: AccountId
    until: int


class SetChat(Forwarded):
    """The owner or an admin changes settings of a group (see Chat). These are the name (as in RenameChat), the picture,
    the topic, the rule for joining and read receipts. Others are the time for edits and recalls, and the messages that
    new members see."""

    route = Routed("session.set_chat", ChatVersion)
    rules_route = Routed("session.set_chat_rules", ChatVersion)
    """The previous version sends these settings to this route, and calls them rules."""

    chat: ChatId
    name: str | UnsetType = UNSET
    receipts: bool | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    avatar_hash: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    join_policy: JoinPolicy | UnsetType = UNSET
    edit_seconds: int | UnsetType | None = UNSET
    recall_seconds: int | UnsetType | None = UNSET
    history_for_new: bool | UnsetType | None = UNSET
    handle: str | UnsetType = UNSET
    """Only the owner may change the handle. An empty text removes it. Error: `conflict` if another group has it."""
    reason: str = ""
    """The reason for a new handle, which members on IRC see; at most 300 characters."""


class ModeChange(msgspec.Struct, array_like=True, frozen=True):
    """One setting of a group, by its name on IRC. `q`, `o`, `v`: `text` is an account that is owner, admin or speaker.
    `b`: `text` is a mask of users who may not join or post. `e`: a mask of users who may do so in spite of `b`. `I`: a
    mask of users who may join a closed group. `i`: the group is closed. `m`: it is silenced. `k`: the key. `l`: the
    most members. For other modes, see Chat.modes."""

    on: bool
    mode: str
    text: str = ""


class ModesChanged(ChatVersion, frozen=True):
    """`changes`: the changes that had an effect."""

    changes: tuple[ModeChange, ...] = ()


class ChangeModes(Forwarded):
    """The owner or an admin changes settings of a group. Either all changes are made or none. Errors: see SetChat and
    SetRole."""

    route = Routed("session.change_modes", ModesChanged)
    chat: ChatId
    changes: list[ModeChange]


class Mask(msgspec.Struct, array_like=True, frozen=True):
    """`by`: the name of the account that has set the mask. `created`: Unix ms."""

    mask: str
    by: str
    created: int


class MaskList(msgspec.Struct, frozen=True):
    masks: list[Mask]


class ListMasks(Forwarded):
    """Requests the masks of one kind. Members may request the kind `b`; the owner and the admins may request all
    kinds."""

    route = Routed("session.list_masks", MaskList, reads=True)
    chat: ChatId
    kind: str


class Invite(Forwarded):
    """A member invites an account to join once, within 7 days, even if other rules forbid it. In a closed group, only
    the owner and the admins may invite. Errors: `conflict` for a member, `not_found` for an unknown account."""

    route = Routed("session.invite", ChatVersion)
    chat: ChatId
    account: AccountId


class InvitedChats(msgspec.Struct, frozen=True):
    chats: list[Chat]


class ListInvitations(Forwarded):
    """Requests the groups to which the actor is invited, at most 100."""

    route = Routed("session.list_invitations", InvitedChats, reads=True)


class DisbandChat(Forwarded):
    """The owner ends a group for all members; nobody can join it again. The messages of the group stay stored."""

    route = Routed("session.disband_chat", ChatVersion)
    chat: ChatId


class InvitationLink(Confidential, msgspec.Struct, frozen=True):
    """A link to a group. `link`: 128 random bits, which are a secret. `uses`: how many accounts can still join; 0 for
    any number. For `expires`, see CreateLink. `paused`: nobody can join by the link, because its maker may not manage
    the group now."""

    link: str
    by: AccountId
    uses: int = 0
    expires: int = 0
    paused: bool = False


class CreateLink(Forwarded):
    """The owner or an admin of a group makes a link, by which any account joins without approval. `uses`: how many
    accounts may join; 0 for any number. `expires`: Unix ms; 0 for never. `nonce`: the client's nonce, or empty; a
    repeated request with the same nonce gets the first reply. Errors: `limit` for too many links of a group, `conflict`
    if another request has the same nonce."""

    route = Routed("session.create_link", InvitationLink)
    chat: ChatId
    uses: int = 0
    expires: int = 0
    nonce: str = ""


class InvitationLinks(msgspec.Struct, frozen=True):
    """The links, oldest first."""

    links: list[InvitationLink]


class ListLinks(Forwarded):
    """A request for the usable links of a group; only the owner and the admins may send it (`forbidden`)."""

    route = Routed("session.list_links", InvitationLinks, reads=True)
    chat: ChatId


class DeleteLink(Confidential, Forwarded):
    """The owner or an admin deletes a link. A repetition changes nothing."""

    route = Routed("session.delete_link", Ack)
    chat: ChatId
    link: str


class JoinedByLink(msgspec.Struct, frozen=True):
    """`version`: the chat's version; 0 if unknown."""

    chat: ChatId
    name: str
    version: int = 0


class JoinByLink(Confidential, Forwarded):
    """Joins the group of a link. Errors: `not_found` for a link that is unknown, used up, expired or paused, `conflict`
    for a member, `forbidden` for a banned account, `limit` for a full group or too many groups of the actor."""

    route = Routed("session.join_by_link", JoinedByLink)
    link: str
