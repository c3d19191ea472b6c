"""The dialect native: the operations of accounts: profiles, friends, blocks, typing and presence."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import AnnounceTyping, FindUsers, GiveState, ShowProfiles, WatchAccounts
from services.edge.canonical.replies import UsersFound
from services.edge.dialects import addresses, validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native.encode import avatar_of
from services.edge.dialects.native.operation import (
    EPHEMERAL,
    EXPENSIVE,
    MANAGES,
    READ,
    READS,
    SENDS,
    WRITE,
    Caller,
    Operation,
)
from services.edge.dialects.native.shapes import (
    Account,
    AccountParameters,
    ChatParameters,
    MessageText,
    Nickname,
    NoParameters,
    Nothing,
    Parameters,
    PictureAddress,
    Small,
    SparseResult,
)
from shared.contract.contacts import (
    AnswerFriendship,
    EndFriendship,
    ListBlocked,
    ListRequests,
    RequestFriendship,
    Requests,
    SetBlocked,
)
from shared.contract.model import Profile
from shared.contract.session import AccountView, GetAccount, SetProfile
from shared.names import is_valid_name

# The following operations concern ephemeral events, which are shown at once or never.


class TypingParameters(ChatParameters, kw_only=True):
    """`on`: false when the user stops writing."""

    on: bool = True


class WatchParameters(Parameters, kw_only=True):
    """Send the client the presence of these accounts from now on, and of no others."""

    accounts: Annotated[list[Account], msgspec.Meta(max_length=200)]


class PresenceInfo(SparseResult):
    """`state`: `active`, `away`, `busy` or `offline`. Only the account itself sees `hidden`. `unknown` is the state of
    an account that may not be watched, and of all accounts while presence is unavailable. `since`: when the account set
    its state, in Unix milliseconds. `text`: the text that the account shows beside its state."""

    account: int
    state: str
    since: int | UnsetType = UNSET
    text: str | UnsetType = UNSET


class WatchResult(msgspec.Struct):
    """The presence of the accounts, in the order of the command."""

    presence: list[PresenceInfo]


class HereParameters(Parameters, kw_only=True):
    """`hidden`: others see the state `offline` and no text. `text`: a text that is shown beside the state. The next
    `here` replaces the state and the text."""

    state: Literal["active", "away", "busy", "hidden"]
    text: Annotated[str, msgspec.Meta(max_length=64, examples=["at lunch"])] = ""


def _here(wire: HereParameters, _: Caller) -> GiveState:
    if not is_valid_name(wire.text):
        raise DecodeError("the text has control or invisible characters", field="text")
    return GiveState(wire.state, wire.text)


EPHEMERAL_OPERATIONS = (
    Operation(
        "typing", "show the other members that the account writes a message; best without `id`",
        EPHEMERAL, SENDS, TypingParameters, Nothing, lambda wire, _: AnnounceTyping(wire.chat, wire.on),
    ),
    Operation(
        "watch", "watch the presence of friends and members of private chats",
        EXPENSIVE, READS, WatchParameters, WatchResult,
        lambda wire, _: WatchAccounts(tuple(dict.fromkeys(wire.accounts))),
    ),
    Operation(
        "here", "set the presence while this connection lasts", EPHEMERAL, SENDS, HereParameters, Nothing, _here
    ),
)  # fmt: skip

# Profiles


class ProfileParameters(Parameters, kw_only=True):
    """Members that are left out stay as they are."""

    nickname: Nickname | UnsetType = UNSET
    avatar: PictureAddress | UnsetType = UNSET
    signature: MessageText | UnsetType = UNSET
    status: Small | UnsetType = UNSET
    icon_id: Small | UnsetType = UNSET


class ProfileResult(SparseResult):
    """`avatar`: the address of a picture. `bot`: whether the account belongs to a program. `v`: as in the `face` of a
    message. `nick`: the name on IRC. Without it, the name on IRC is made from the nickname and the account's number."""

    account: int
    uuid: str
    nickname: str
    avatar: str
    signature: str
    status: int
    icon_id: int
    deleted: bool
    bot: bool | UnsetType = UNSET
    v: int | UnsetType = UNSET
    nick: str | UnsetType = UNSET


class ProfilesParameters(Parameters, kw_only=True):
    accounts: Annotated[list[Account], msgspec.Meta(max_length=200, examples=[[12, 34]])]


class Card(SparseResult):
    """An account as clients show it beside its messages. `v`: as in the `face` of a message. Servers of older versions
    leave it out."""

    account: int
    nickname: str
    avatar: str
    v: int | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET


class ProfilesResult(msgspec.Struct):
    """The profiles of the accounts that exist, in the order of the command."""

    profiles: list[Card]


class FindParameters(Parameters, kw_only=True):
    """`query`: a whole account number, username or e-mail address."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=320, examples=["ann@example.org"])]


class FindResult(msgspec.Struct):
    accounts: list[ProfileResult]


def profile_members(shown: Profile, base_url: str) -> tuple[Any, ...]:
    """The values of a ProfileResult, in the order of its fields."""
    avatar = avatar_of("account", shown.id, shown.avatar, shown.avatar_hash, base_url)
    account = shown.id, shown.uuid, shown.nickname, avatar, shown.signature, shown.status, shown.icon_id
    return *account, shown.deleted, shown.bot, shown.public_updated, shown.nick or UNSET


def profile(shown: Profile, caller: Caller) -> ProfileResult:
    return ProfileResult(*profile_members(shown, caller.base_url))


def _profile(reply: AccountView, caller: Caller) -> ProfileResult:
    return profile(reply.profile, caller)


def _found(reply: UsersFound, caller: Caller) -> FindResult:
    return FindResult([profile(one, caller) for one in reply.profiles])


def _cards(reply: UsersFound, caller: Caller) -> ProfilesResult:
    return ProfilesResult([_card(one, caller.base_url) for one in reply.profiles])


def _card(shown: Profile, base_url: str) -> Card:
    avatar = avatar_of("account", shown.id, shown.avatar, shown.avatar_hash, base_url)
    return Card(shown.id, shown.nickname, avatar, shown.public_updated, shown.deleted)


def _set_profile(wire: ProfileParameters, caller: Caller) -> SetProfile:
    changed = SetProfile(caller.account, status=wire.status, icon_id=wire.icon_id, signature=wire.signature)
    if wire.nickname is not UNSET:
        changed.nickname = validation.nickname(wire.nickname, caller.limits)
    if wire.avatar is not UNSET:
        changed.avatar, changed.avatar_hash = addresses.stored_address(wire.avatar, caller.limits), ""
    return changed


# Friends, requests, blocks


class BefriendParameters(AccountParameters, kw_only=True):
    text: MessageText = ""


class AnswerFriendParameters(AccountParameters, kw_only=True):
    accept: bool


class FriendsResult(msgspec.Struct):
    friends: list[int]


class FriendRequest(msgspec.Struct):
    account: int
    text: str


class JoinRequest(msgspec.Struct):
    account: int
    chat: int
    text: str


class RequestsResult(msgspec.Struct):
    """The requests that this account has not answered yet."""

    friends: list[FriendRequest]
    joins: list[JoinRequest]


class BlocksResult(msgspec.Struct):
    """`accounts`: the blocked accounts in ascending order."""

    accounts: list[int]


def requests(pending: Requests, _: Caller) -> RequestsResult:
    return RequestsResult(
        [FriendRequest(one.applicant, one.text) for one in pending.friendships],
        [JoinRequest(one.applicant, one.chat, one.text) for one in pending.memberships],
    )


USER_OPERATIONS = (
    Operation(
        "profile", "get the profile of an account",
        READ, READS, AccountParameters, ProfileResult, lambda wire, _: GetAccount(wire.account), _profile,
    ),
    Operation(
        "profiles", "get the names and pictures of accounts", EXPENSIVE, READS, ProfilesParameters, ProfilesResult,
        lambda wire, _: ShowProfiles(tuple(dict.fromkeys(wire.accounts))), _cards,
    ),
    Operation("set_profile", "change the account's profile", WRITE, MANAGES, ProfileParameters, Nothing, _set_profile),
    Operation(
        "find", "find accounts by their complete number, username or e-mail address",
        EXPENSIVE, READS, FindParameters, FindResult, lambda wire, _: FindUsers(wire.query), _found,
    ),
    Operation(
        "friends", "list the friends",
        READ, READS, NoParameters, FriendsResult, lambda _, caller: GetAccount(caller.account, lists=True),
    ),
    Operation(
        "requests", "list the pending requests of other users",
        READ, READS, NoParameters, RequestsResult, lambda *_: ListRequests(), requests,
    ),
    Operation(
        "befriend", "send a friend request",
        WRITE, MANAGES, BefriendParameters, Nothing, lambda wire, _: RequestFriendship(wire.account, wire.text),
    ),
    Operation(
        "answer_friend", "answer a friend request",
        WRITE, MANAGES, AnswerFriendParameters, Nothing, lambda wire, _: AnswerFriendship(wire.account, wire.accept),
    ),
    Operation(
        "unfriend", "end a friendship",
        WRITE, MANAGES, AccountParameters, Nothing, lambda wire, _: EndFriendship(wire.account),
    ),
    Operation(
        "block", "block an account's private messages and friend requests",
        WRITE, MANAGES, AccountParameters, Nothing, lambda wire, _: SetBlocked(wire.account, blocked=True),
    ),
    Operation(
        "unblock", "no longer reject them",
        WRITE, MANAGES, AccountParameters, Nothing, lambda wire, _: SetBlocked(wire.account, blocked=False),
    ),
    Operation(
        "blocks", "list the blocked accounts", READ, READS, NoParameters, BlocksResult, lambda *_: ListBlocked()
    ),
)  # fmt: skip
