"""Requests to session: profiles, friends, chats and their members."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, MemberPair, Profile, ProfileSummary, Role
from shared.contract.routes import Ack, Forwarded, Routed


class Mute(msgspec.Struct, array_like=True, frozen=True):
    """What a member wants to be alerted of: of no message before this time (Unix ms), or of those alone that mention
    the member."""

    until: int = 0
    mentions_only: bool = False


class MuteChat(Forwarded):
    """The actor's own setting of a chat, as in Mute, until the membership ends: clients follow it, services do not.
    Only members may (`forbidden`)."""

    route = Routed("session.mute", Ack)

    chat: ChatId
    until: int = 0
    mentions_only: bool = False
    actor: AccountId = NO_ACCOUNT


class EnsureProfile(msgspec.Struct, kw_only=True):
    """Creates a missing profile, and marks that of a bot (idempotent; sent at registration and at every login)."""

    route = Routed("session.ensure_profile", Ack)

    account: AccountId
    uuid: str
    nickname: str
    icon_id: int = 0
    signature: str = ""
    vip: int = 0
    created: int = 0
    lobby: bool = False
    bot: bool = False


class AccountView(msgspec.Struct, frozen=True):
    """`chats`, `friends` and `left` are None unless the account itself requested them."""

    profile: Profile
    chats: list[ChatId] | None = None
    friends: list[AccountId] | None = None
    left: list[ChatId] | None = None


class GetAccount(Forwarded):
    """Requests a profile; for the account itself, `lists` adds its chats and friends, `left` its former chats."""

    route = Routed("session.get_account", AccountView, reads=True)

    account: AccountId
    lists: bool = False
    actor: AccountId = NO_ACCOUNT
    left: bool = False


class SetProfile(Forwarded):
    """Changes the actor's own profile and notifies the actor and its friends. Error: `forbidden` for another one."""

    route = Routed("session.set_profile", Ack)

    account: AccountId
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    avatar_hash: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    actor: AccountId = NO_ACCOUNT
    icon_id: int | UnsetType = UNSET
    signature: str | UnsetType = UNSET


class ChatView(msgspec.Struct, frozen=True):
    """Members in order of joining, owner first, up to the limit on listed members. `mute`: the actor's."""

    chat: Chat
    members: list[AccountId]
    mute: Mute | None = None


class GetChat(Forwarded):
    """Requests a chat and its first `members` (0: all up to the limit). Only members may, and, `all`, operators."""

    route = Routed("session.get_chat", ChatView, reads=True)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT
    all: bool = False
    members: int = 0


class CreateChat(Forwarded):
    """Creates a group of the actor, who is added if missing. Errors: `not_found` for an unknown member, `limit`. An
    empty name becomes up to three nicknames joined by 、. `nonce` as in CreateLink."""

    route = Routed("session.create_chat", ChatView)

    members: list[AccountId]
    name: str = ""
    avatar: str = ""
    avatar_hash: str = ""
    kind: ChatKind = ChatKind.GROUP
    join_policy: JoinPolicy = JoinPolicy.CLOSED
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""


class ChatEntry(msgspec.Struct, array_like=True, frozen=True):
    """`first_index`: the first message the account may see; `unread_from`: the first that can be unread. `state`, if
    requested: another number when the chat's name, settings or members have changed, or the account's `mute`, or the
    face of the other member of a private chat."""

    chat: ChatId
    first_index: int
    unread_from: int
    pair: MemberPair | None = None
    state: int = 0


class ChatList(msgspec.Struct, frozen=True):
    """`also`: as many of the further accounts as fit into the reply."""

    entries: list[ChatEntry]
    more: bool = False
    also: "dict[AccountId, ChatList]" = {}


class ListChats(msgspec.Struct):
    """Requests the chats of an account in order of id, one page after `after`."""

    route = Routed("session.list_chats", ChatList)

    account: AccountId
    after: ChatId = ChatId(0)
    also: list[AccountId] = []
    """Further accounts, whose first pages the reply includes."""
    states: bool = False
    """Include the states of the chats, and no further accounts."""


class ChatsFound(msgspec.Struct, frozen=True):
    """`mutes`, `roles`: those of the actor."""

    chats: list[Chat]
    mutes: dict[ChatId, Mute] = {}
    roles: dict[ChatId, Role] = {}


class GetChats(msgspec.Struct):
    """Requests several chats, at most 500; the reply omits those that the actor is not in."""

    route = Routed("session.get_chats", ChatsFound)

    chats: list[ChatId]
    actor: AccountId = NO_ACCOUNT


class Member(msgspec.Struct, array_like=True, frozen=True):
    """`role` LEFT: no longer a member. `version`: the chat's version of the change. `first_index` and `unread_from` as
    in ChatEntry. Completing a join is a change with a version of its own; until then `unread_from` is 0 and
    `first_index` is approximate."""

    account: AccountId
    role: Role
    first_index: int
    version: int
    unread_from: int = 0


class ChangeTimes(msgspec.Struct, array_like=True, frozen=True):
    """For how many seconds senders may edit and recall in a chat; None: as long as the operator allows."""

    edit: int | None = None
    recall: int | None = None


class Membership(msgspec.Struct, frozen=True):
    """`version`: the chat's. `members`: those that changed after `since`. `outgoing_hooks`: it has some."""

    chat: ChatId
    version: int
    members: list[Member]
    more: bool = False
    pair: MemberPair | None = None
    speaker: AccountId = NO_ACCOUNT
    """The only account that may post; NO_ACCOUNT: every member may."""
    muted: dict[AccountId, int] = {}
    """Accounts, at most 1,000, silenced or blocked before this time (Unix ms). NO_ACCOUNT: all but owner and admins."""
    outgoing_hooks: bool = False
    change_times: ChangeTimes | None = None
    """None: not known, an older version of session has replied."""


class GetMembership(msgspec.Struct):
    """Requests the members changed after version `since` (0: all), by (version, account), a page after `after`."""

    route = Routed("session.membership", Membership)

    chat: ChatId
    since: int = 0
    after: tuple[int, int] = (0, 0)
    unnamed: bool = False
    """Redis lacks the chat's version, or names an older one; session publishes it again."""


class MembershipVersions(msgspec.Struct, frozen=True):
    """The new versions of chats whose membership has changed. As a heartbeat, each second, without versions and with
    the name of the `process` of session. `leaving`: its last one, after which it changes nothing."""

    versions: dict[ChatId, int]
    process: str = ""
    leaving: bool = False


class EraseAccount(msgspec.Struct):
    """Erases a deleted account: anonymises its profile, ends memberships and friendships, transfers ownership."""

    account: AccountId


class ChatVersion(Ack, frozen=True):
    """An Ack of a request that concerns a chat. `version`: the chat's; 0: an older replica sent an Ack."""

    version: int = 0


# Accounts and friends


class ProfileSummaries(msgspec.Struct, frozen=True):
    faces: dict[AccountId, ProfileSummary]
    profiles: dict[AccountId, Profile] = {}


class GetProfileSummaries(msgspec.Struct):
    """Requests nicknames and uuids of at most 1,000 accounts, deleted ones included; the reply omits unknown accounts.
    `profiles`: whole profiles instead, of at most 100."""

    route = Routed("session.faces", ProfileSummaries)

    accounts: list[AccountId]
    profiles: bool = False


class FoundAccounts(msgspec.Struct, frozen=True):
    accounts: dict[str, AccountId]


class FindAccounts(msgspec.Struct):
    """Requests the accounts with these uuids, at most 5,000; the reply omits unknown and deleted ones."""

    route = Routed("session.find_accounts", FoundAccounts)

    uuids: list[str]


# Groups


class ChatOpened(msgspec.Struct, frozen=True):
    chat: ChatId
    pair: MemberPair


class OpenPrivateChat(Forwarded):
    """Finds or creates the private chat of the actor and `account`; it has no owner. The actor itself: `invalid`; a
    deleted or unknown account: `not_found`; a new chat with an account that blocks the actor: `forbidden`."""

    route = Routed("session.open_private_chat", ChatOpened)

    account: AccountId
    actor: AccountId = NO_ACCOUNT


class RenameChat(Forwarded):
    """The owner or an admin renames a group."""

    route = Routed("session.rename_chat", ChatVersion)

    chat: ChatId
    name: str
    actor: AccountId = NO_ACCOUNT


class ChatWithMembers(msgspec.Struct, frozen=True):
    chat: Chat
    members: list[ProfileSummary]


class ChatViews(msgspec.Struct, frozen=True):
    chats: list[ChatWithMembers]
    more: bool = False


class ListChatViews(Forwarded):
    """Every chat of the account with its members' profile summaries (the owner first, up to the limit on listed members
    and the size of a reply), one page after `after`."""

    route = Routed("session.list_chat_views", ChatViews, reads=True)

    after: ChatId = ChatId(0)
    actor: AccountId = NO_ACCOUNT


# Pending notices: stored until the account's dialect has shown them (v1: 10 and 11)
