"""What session is asked: profiles, friends, chats and their members."""

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.ids import NOBODY, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, Profile, Role


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
    actor: AccountId = NOBODY


class AccountView(msgspec.Struct, frozen=True):
    """`chats` and `friends` are None unless they were asked for by the account itself."""

    profile: Profile
    chats: list[ChatId] | None = None
    friends: list[AccountId] | None = None


class SetProfile(msgspec.Struct):
    """Change one's own profile. Another's account fails with `forbidden`."""

    account: AccountId
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    avatar_hash: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    actor: AccountId = NOBODY


class CreateChat(msgspec.Struct):
    """Make a group; the actor owns it and is added if missing. An unknown member fails with `not_found`, the
    configured number of chats per account with `limit`. An empty name becomes up to three nicknames joined by 、."""

    members: list[AccountId]
    name: str = ""
    avatar: str = ""
    avatar_hash: str = ""
    kind: ChatKind = ChatKind.GROUP
    join_policy: JoinPolicy = JoinPolicy.CLOSED
    actor: AccountId = NOBODY


class GetChat(msgspec.Struct):
    """A chat and its members, for members only (`forbidden`)."""

    chat: ChatId
    actor: AccountId = NOBODY


class ChatView(msgspec.Struct, frozen=True):
    """Members in order of joining, owner first, at most as many as the limit on listed members allows."""

    chat: Chat
    members: list[AccountId]


class ListChats(msgspec.Struct):
    """The chats of an account in order of id, a page after `after`."""

    account: AccountId
    after: ChatId = ChatId(0)


class ChatEntry(msgspec.Struct, array_like=True, frozen=True):
    """`first_index`: the first message the account may see; `unread_from`: the first that can be unread."""

    chat: ChatId
    first_index: int
    unread_from: int


class ChatList(msgspec.Struct, frozen=True):
    entries: list[ChatEntry]
    more: bool = False


class GetMembership(msgspec.Struct):
    """The members that changed after version `since` (0: all), in order of (version, account), a page after
    the cursor `after`."""

    chat: ChatId
    since: int = 0
    after: tuple[int, int] = (0, 0)


class Member(msgspec.Struct, array_like=True, frozen=True):
    """`role` LEFT says that the account is no member any more. `version` is the chat's version of the change.
    `unread_from` as in ChatEntry; 0 until the join is complete, which is a change with a version of its own."""

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


class EraseAccount(msgspec.Struct):
    """Forget a deleted account: profile anonymised, memberships and friendships ended, ownership passed on."""

    account: AccountId


class Done(msgspec.Struct, frozen=True):
    """It is so now (also when it was so before)."""
