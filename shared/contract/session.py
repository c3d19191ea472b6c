"""What session is asked: profiles, friends, chats and their members."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, MemberPair, Profile, ProfileSummary, Role


class EnsureProfile(msgspec.Struct, kw_only=True):
    """Create the profile of an account if it is missing (idempotent: at registration, healed at any login)."""

    account: AccountId
    uuid: str
    nickname: str
    icon_id: int = 0
    signature: str = ""
    vip: int = 0
    created: int = 0
    lobby: bool = False


class GetAccount(msgspec.Struct):
    """A profile; with `lists`, and only about oneself, the ids of the account's chats and friends too."""

    account: AccountId
    lists: bool = False
    actor: AccountId = NO_ACCOUNT


class AccountView(msgspec.Struct, frozen=True):
    """`chats` and `friends` are None unless they were asked for by the account itself."""

    profile: Profile
    chats: list[ChatId] | None = None
    friends: list[AccountId] | None = None


class SetProfile(msgspec.Struct):
    """Change one's own profile; friends and oneself are told. Another's account fails with `forbidden`."""

    account: AccountId
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    avatar_hash: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    actor: AccountId = NO_ACCOUNT
    icon_id: int | UnsetType = UNSET
    signature: str | UnsetType = UNSET


class CreateChat(msgspec.Struct):
    """Make a group; the actor owns it and is added if missing. An unknown member fails with `not_found`, the
    configured number of chats per account with `limit`. An empty name becomes up to three nicknames joined by 、."""

    members: list[AccountId]
    name: str = ""
    avatar: str = ""
    avatar_hash: str = ""
    kind: ChatKind = ChatKind.GROUP
    join_policy: JoinPolicy = JoinPolicy.CLOSED
    actor: AccountId = NO_ACCOUNT


class GetChat(msgspec.Struct):
    """A chat and its members, for members only (`forbidden`)."""

    chat: ChatId
    actor: AccountId = NO_ACCOUNT
    all: bool = False
    """An operator looks without being a member."""


class ChatView(msgspec.Struct, frozen=True):
    """Members in order of joining, owner first, at most as many as the limit on listed members allows."""

    chat: Chat
    members: list[AccountId]


class ListChats(msgspec.Struct):
    """The chats of an account in order of id, a page after `after`."""

    account: AccountId
    after: ChatId = ChatId(0)
    also: list[AccountId] = []
    """The first pages of these too."""


class ChatEntry(msgspec.Struct, array_like=True, frozen=True):
    """`first_index`: the first message the account may see; `unread_from`: the first that can be unread."""

    chat: ChatId
    first_index: int
    unread_from: int
    pair: MemberPair | None = None


class ChatList(msgspec.Struct, frozen=True):
    """`also`: as many of the others that were asked for as there was room for."""

    entries: list[ChatEntry]
    more: bool = False
    also: "dict[AccountId, ChatList]" = {}


class GetMembership(msgspec.Struct):
    """The members that changed after version `since` (0: all), in order of (version, account), a page after
    the cursor `after`."""

    chat: ChatId
    since: int = 0
    after: tuple[int, int] = (0, 0)
    unnamed: bool = False
    """Redis does not name the chat's version, and should."""


class Member(msgspec.Struct, array_like=True, frozen=True):
    """`role` LEFT says that the account is no member any more. `version` is the chat's version of the change.
    `first_index` and `unread_from` as in ChatEntry. Until the join is complete, which is a change with a version of
    its own, `unread_from` is 0, and `first_index` says about where the account came in."""

    account: AccountId
    role: Role
    first_index: int
    version: int
    unread_from: int = 0


class Membership(msgspec.Struct, frozen=True):
    """`version` is the chat's; members listed here changed after `since`."""

    chat: ChatId
    version: int
    members: list[Member]
    more: bool = False
    pair: MemberPair | None = None
    speaker: AccountId = NO_ACCOUNT
    """Who alone may say something there; NOBODY: every member."""


class EraseAccount(msgspec.Struct):
    """Forget a deleted account: profile anonymised, memberships and friendships ended, ownership passed on."""

    account: AccountId


class Ack(msgspec.Struct, frozen=True):
    """It is so now (also when it was so before)."""


# People


class GetProfileSummaries(msgspec.Struct):
    """Nicknames and uuids of accounts (also deleted ones), at most 1,000 at once; unknown ones are left out. Instead of
    them, whole `profiles` of at most 100."""

    accounts: list[AccountId]
    profiles: bool = False


class ProfileSummaries(msgspec.Struct, frozen=True):
    faces: dict[AccountId, ProfileSummary]
    profiles: dict[AccountId, Profile] = {}


class FindAccounts(msgspec.Struct):
    """The accounts with these uuids, at most 5,000 at once; unknown and deleted ones are left out."""

    uuids: list[str]


class FoundAccounts(msgspec.Struct, frozen=True):
    accounts: dict[str, AccountId]


class RequestFriendship(msgspec.Struct):
    """Ask `account` to become friends. Again while it is pending: the text is replaced, and it is told again. Friends
    already: `conflict`. When `account` has asked the actor before, they become friends at once. A text has at most
    1,000 characters (`too_large`). Too many of the actor's requests wait for an answer: `limit`."""

    account: AccountId
    text: str = ""
    actor: AccountId = NO_ACCOUNT


class AnswerFriendship(msgspec.Struct):
    """Accept or refuse the pending request of `applicant` to the actor; none pending: `not_found`."""

    applicant: AccountId
    accept: bool
    actor: AccountId = NO_ACCOUNT


class EndFriendship(msgspec.Struct):
    """No friends: `not_found`."""

    account: AccountId
    actor: AccountId = NO_ACCOUNT


# Groups


class OpenPrivateChat(msgspec.Struct):
    """The private chat of the actor and `account`, made if there is none; nobody owns it. With oneself: `invalid`;
    with a deleted or unknown account: `not_found`."""

    account: AccountId
    actor: AccountId = NO_ACCOUNT


class ChatOpened(msgspec.Struct, frozen=True):
    chat: ChatId
    pair: MemberPair


class RequestMembership(msgspec.Struct):
    """Join an open group at once, or apply to one that needs approval (again while pending: the text is replaced and
    it is told again). A closed group: `forbidden`; a member already: `conflict`; a full group, or too many of the
    actor's requests waiting: `limit`."""

    chat: ChatId
    text: str = ""
    actor: AccountId = NO_ACCOUNT


class MembershipRequested(msgspec.Struct, frozen=True):
    joined: bool
    """At once; otherwise it waits for an answer."""
    name: str


class AnswerMembership(msgspec.Struct):
    """The owner or an admin accepts or refuses a pending application; none pending: `not_found`."""

    chat: ChatId
    applicant: AccountId
    accept: bool
    actor: AccountId = NO_ACCOUNT


class AddMember(msgspec.Struct):
    """The owner or an admin pulls a friend in (or accepts, if that one has applied). A member already: `conflict`;
    no friend: `forbidden`."""

    chat: ChatId
    account: AccountId
    actor: AccountId = NO_ACCOUNT


class RenameChat(msgspec.Struct):
    """The owner or an admin renames a group."""

    chat: ChatId
    name: str
    actor: AccountId = NO_ACCOUNT


class ListRequests(msgspec.Struct):
    """Requests that wait for this account's answer: to itself, and to the groups it is owner or admin of. Oldest
    first, at most 1,000 of each, and as many as fit into one reply; the others come when these are answered."""

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


class ListChatViews(msgspec.Struct):
    """Every chat of the account with the faces of its members (the owner first, at most as many as are listed and fit
    into one reply), a page after `after`."""

    after: ChatId = ChatId(0)
    actor: AccountId = NO_ACCOUNT


class ChatWithMembers(msgspec.Struct, frozen=True):
    chat: Chat
    members: list[ProfileSummary]


class ChatViews(msgspec.Struct, frozen=True):
    chats: list[ChatWithMembers]
    more: bool = False


# Kept notices: what a dialect could not be told at once (v1: 10 and 11)


class ListPendingNotices(msgspec.Struct):
    """Answers and memberships that were told this account since it last dropped them, oldest first (the newest 1,000
    of the last 90 days are kept), as many as fit into one reply. Of newcomers to big groups only the newcomer itself
    is told so."""

    actor: AccountId = NO_ACCOUNT


class PendingNotice(msgspec.Struct, array_like=True, frozen=True):
    """`number` grows; `notice` is a packed shared.contract.edge.Notice."""

    number: int
    notice: bytes


class PendingNotices(msgspec.Struct, frozen=True):
    kept: list[PendingNotice]


class DropPendingNotices(msgspec.Struct):
    """They have been shown."""

    numbers: list[int]
    actor: AccountId = NO_ACCOUNT
