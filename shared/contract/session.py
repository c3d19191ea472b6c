"""The requests to the session service about profiles, friends, chats and their members."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, MemberPair, Profile, ProfileSummary, Role
from shared.contract.routes import Ack, Forwarded, Routed


class MemberSettings(msgspec.Struct, array_like=True, frozen=True):
    """A member's own settings of a chat. Clients alert of no message before `until` (Unix ms), or with `mentions_only`
    only of mentions. Clients list `pinned` chats before other chats, and `archived` chats separately. IRC clients have
    left the channel at the time `hidden` (Unix ms); 0 if they show it."""

    until: int = 0
    mentions_only: bool = False
    pinned: bool = False
    archived: bool = False
    hidden: int = 0


class MuteChat(Forwarded):
    """Sets the actor's own settings of a chat (see MemberSettings) until the membership ends. Clients and notifications
    obey them. Only members may do this (`forbidden`)."""

    route = Routed("session.mute", Ack)
    chat: ChatId
    until: int = 0
    mentions_only: bool = False


class PlaceChat(Forwarded):
    """Sets the actor's own settings of a chat, as MuteChat does. UNSET fields do not change."""

    route = Routed("session.place", MemberSettings)
    chat: ChatId
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    hidden: int | UnsetType = UNSET


class EnsureProfile(msgspec.Struct, kw_only=True):
    """Creates the profile of an account if it is missing, and marks the profile of a bot. Sent at registration and at
    every login."""

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
    nick: str = ""
    guest: str = ""
    """For `nick` and `guest`, see Profile. A nick that another account has is left out."""


class AccountView(msgspec.Struct, frozen=True):
    """A profile. `chats`, `friends` and `left` are None unless the account itself has requested them."""

    profile: Profile
    chats: list[ChatId] | None = None
    friends: list[AccountId] | None = None
    left: list[ChatId] | None = None


class GetAccount(Forwarded):
    """A request for a profile. If the account requests its own profile, `lists` adds its chats and friends, and `left`
    adds the chats that it has left."""

    route = Routed("session.get_account", AccountView, reads=True)
    account: AccountId
    lists: bool = False
    left: bool = False


class SetProfile(Forwarded):
    """Changes the actor's own profile and notifies the actor and its friends. Error: `forbidden` for the profile of
    another account."""

    route = Routed("session.set_profile", Ack)
    account: AccountId
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    avatar_hash: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    icon_id: int | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    nick: str | UnsetType = UNSET
    """Only a guest can set its nick. Error: `conflict` for a nick that another account has."""


class ReadTime(msgspec.Struct, frozen=True):
    time: int


class MarkReadTime(Forwarded):
    """The actor reports on IRC that it has read a chat until a time (Unix ms). The stored time only grows. With 0, the
    request only returns it. Only members may send this request (`forbidden`)."""

    route = Routed("session.mark_read_time", ReadTime)
    chat: ChatId
    time: int = 0


class ChatView(msgspec.Struct, frozen=True):
    """A chat and its members: the owner first, then the others in order of joining, up to the limit of listed members.
    `mute`: the actor's own settings."""

    chat: Chat
    members: list[AccountId]
    mute: MemberSettings | None = None


class GetChat(Forwarded):
    """A request for a chat and its first `members`; 0 for as many as the limit permits. Members may send it and, with
    `all`, operators."""

    route = Routed("session.get_chat", ChatView, reads=True)
    chat: ChatId
    all: bool = False
    members: int = 0


class HandleFound(msgspec.Struct, frozen=True):
    chat: ChatId


class CreateChat(Forwarded):
    """Creates a group of the actor, who is added if `members` lacks the actor. If the name is empty, it becomes up to
    three nicknames, joined by 、. Errors: `not_found` for an unknown member, `limit`. `nonce`: see CreateLink."""

    route = Routed("session.create_chat", ChatView)
    members: list[AccountId]
    name: str = ""
    avatar: str = ""
    avatar_hash: str = ""
    kind: ChatKind = ChatKind.GROUP
    join_policy: JoinPolicy = JoinPolicy.CLOSED
    nonce: str = ""
    handle: str = ""
    """See Chat. Error: `conflict` if another group has this handle."""


class FindHandle(Forwarded):
    """Requests the group with this handle. Error: `not_found` if there is none."""

    route = Routed("session.find_handle", HandleFound, reads=True)
    handle: str


class ChatEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A chat of an account. `first_index`: the first message that the account may see. `unread_from`: the first message
    that can be unread. `state`, if requested: a number that changes with the chat's name, settings and members, the
    account's `mute`, and the profile of the other member of a private chat."""

    chat: ChatId
    first_index: int
    unread_from: int
    pair: MemberPair | None = None
    state: int = 0


class ChatList(msgspec.Struct, frozen=True):
    """`also`: the chats of further accounts, as many as fit into the reply."""

    entries: list[ChatEntry]
    more: bool = False
    also: "dict[AccountId, ChatList]" = {}


class ListChats(msgspec.Struct):
    """A request for the chats of an account in order of id, one page after `after`."""

    route = Routed("session.list_chats", ChatList)
    account: AccountId
    after: ChatId = ChatId(0)
    also: list[AccountId] = []
    """Further accounts, whose first pages the reply includes."""
    states: bool = False
    """Include the states of the chats, and no further accounts."""


class ChatsFound(msgspec.Struct, frozen=True):
    """The chats that were found. `mutes`, `roles`: the settings and roles of the actor."""

    chats: list[Chat]
    mutes: dict[ChatId, MemberSettings] = {}
    roles: dict[ChatId, Role] = {}


class GetChats(msgspec.Struct):
    """A request for several chats, at most 500. The reply omits chats of which the actor is not a member."""

    route = Routed("session.get_chats", ChatsFound)
    chats: list[ChatId]
    actor: AccountId = NO_ACCOUNT


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A member, or a past member (role LEFT). `version`: the chat's version with the last change of this membership.
    For `first_index` and `unread_from`, see ChatEntry. Until a join is finished, `unread_from` is 0 and `first_index`
    is an estimate. The end of a join is a change with its own version."""

    account: AccountId
    role: Role
    first_index: int
    version: int
    unread_from: int = 0


class ChangeTimes(msgspec.Struct, array_like=True, frozen=True):
    """The seconds for which senders may edit and recall messages of a chat; None if the operator's limit holds."""

    edit: int | None = None
    recall: int | None = None


class Membership(msgspec.Struct, frozen=True):
    """A page of a chat's membership. `version`: the chat's version. `members`: the members that have changed after
    `since`. `outgoing_hooks`: the chat has outgoing webhooks."""

    chat: ChatId
    version: int
    members: list[Member]
    more: bool = False
    pair: MemberPair | None = None
    speaker: AccountId = NO_ACCOUNT
    """The only account that may post; NO_ACCOUNT if every member may."""
    muted: dict[AccountId, int] = {}
    """The accounts that may not post before this time (Unix ms). If accounts outside the group may post, banned
    accounts are included. The entry of NO_ACCOUNT holds for all members except the owner and the admins."""
    outgoing_hooks: bool = False
    change_times: ChangeTimes | None = None
    speakers: list[AccountId] = []
    """The members that may post even if the group is silenced."""
    strangers_post: bool = False
    """Accounts that are no members may also post, unless they are muted."""


class GetMembership(msgspec.Struct):
    """A request for the members that have changed after version `since` (0 for all), in order of (version, account):
    one page after `after`."""

    route = Routed("session.membership", Membership)
    chat: ChatId
    since: int = 0
    after: tuple[int, int] = (0, 0)
    unnamed: bool = False
    """Redis lacks the chat's version, or has an older one, so session publishes the version again."""


class MembershipVersions(msgspec.Struct, frozen=True):
    """The new versions of chats whose membership has changed. Each second, session publishes an event without versions
    as a heartbeat, with the name of the `process`. `leaving`: this is the last heartbeat of the process, which makes no
    more changes.
    """

    versions: dict[ChatId, int]
    process: str = ""
    leaving: bool = False


class EraseAccount(msgspec.Struct):
    """Erases a deleted account: anonymises its profile, ends memberships and friendships, transfers ownership.
    `reason`: shown to the members of its groups."""

    account: AccountId
    reason: str = ""


class ChatVersion(Ack, frozen=True):
    """Acknowledges a request that concerns a chat. `version`: the chat's version; 0 from older versions. `time`: the
    time of the happening (Unix ms); 0 if there is none."""

    version: int = 0
    time: int = 0


# Accounts and friends


class ProfileSummaries(msgspec.Struct, frozen=True):
    faces: dict[AccountId, ProfileSummary]
    profiles: dict[AccountId, Profile] = {}


class GetProfileSummaries(msgspec.Struct):
    """A request for nicknames and uuids of at most 1,000 accounts, including deleted accounts. The reply omits unknown
    accounts. `profiles`: requests whole profiles instead, of at most 100 accounts."""

    route = Routed("session.faces", ProfileSummaries)
    accounts: list[AccountId]
    profiles: bool = False


class FoundAccounts(msgspec.Struct, frozen=True):
    accounts: dict[str, AccountId]


class FindAccounts(msgspec.Struct):
    """A request for the accounts with these uuids, at most 5,000. The reply omits unknown and deleted accounts."""

    route = Routed("session.find_accounts", FoundAccounts)
    uuids: list[str]


# Groups


class ChatOpened(msgspec.Struct, frozen=True):
    chat: ChatId
    pair: MemberPair


class OpenPrivateChat(Forwarded):
    """Finds or creates the private chat of the actor and `account`, which has no owner. Errors: `invalid` if `account`
    is the actor, `not_found` for a deleted or unknown account, `forbidden` for a new chat with an account that blocks
    the actor. `alone`: the actor may open a chat with itself, as on IRC."""

    route = Routed("session.open_private_chat", ChatOpened)
    account: AccountId
    alone: bool = False


class RenameChat(Forwarded):
    """The owner or an admin renames a group."""

    route = Routed("session.rename_chat", ChatVersion)
    chat: ChatId
    name: str


class ChatWithMembers(msgspec.Struct, frozen=True):
    chat: Chat
    members: list[ProfileSummary]


class ChatViews(msgspec.Struct, frozen=True):
    chats: list[ChatWithMembers]
    more: bool = False


class ListChatViews(Forwarded):
    """A request for every chat of the account with its members' profile summaries (the owner first, up to the limit of
    listed members and the size of a reply): one page after the chat `after`."""

    route = Routed("session.list_chat_views", ChatViews, reads=True)
    after: ChatId = ChatId(0)


# Pending events are stored until the account's dialect has shown them. (OurChat v1 shows them as frames 10 and 11.)
