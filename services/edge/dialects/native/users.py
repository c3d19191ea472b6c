"""native: the operations of accounts: profiles, friends, blocks, and what is shown at once or never."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import AnnounceTyping, FindUsers, GiveState, WatchAccounts
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

# What is shown at once or never


class TypingParameters(ChatParameters, kw_only=True):
    """`on`: false when the account stops."""

    on: bool = True


class WatchParameters(Parameters, kw_only=True):
    """The presence of these accounts is shown, and of no others any more."""

    accounts: Annotated[list[Account], msgspec.Meta(max_length=200)]


class PresenceInfo(SparseResult):
    """`state`: active, away, busy or offline; hidden, of the own account alone; unknown, of an account that may not be
    watched, or while it is not known. `since`: Unix milliseconds, of a state that the account has given itself. `text`:
    beside that state."""

    account: int
    state: str
    since: int | UnsetType = UNSET
    text: str | UnsetType = UNSET


class WatchResult(msgspec.Struct):
    """In the order of the command."""

    presence: list[PresenceInfo]


class HereParameters(Parameters, kw_only=True):
    """`hidden`: others see `offline`, and no text. `text`: shown beside the state; the next `here` replaces both."""

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
        "watch", "show the presence of these accounts, of friends and members of private chats alone",
        EXPENSIVE, READS, WatchParameters, WatchResult,
        lambda wire, _: WatchAccounts(tuple(dict.fromkeys(wire.accounts))),
    ),
    Operation(
        "here", "the own presence, while this connection lasts", EPHEMERAL, SENDS, HereParameters, Nothing, _here
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
    """`avatar`: an address. `bot`: the account is a program's."""

    account: int
    uuid: str
    nickname: str
    avatar: str
    signature: str
    status: int
    icon_id: int
    deleted: bool
    bot: bool | UnsetType = UNSET


class FindParameters(Parameters, kw_only=True):
    """`query`: all of a number, of a username or of an e-mail address."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=320, examples=["ann@example.org"])]


class FindResult(msgspec.Struct):
    accounts: list[ProfileResult]


def profile_members(shown: Profile, base_url: str) -> tuple[int, str, str, str, str, int, int, bool, bool]:
    """Of a ProfileResult."""
    avatar = avatar_of("account", shown.id, shown.avatar, shown.avatar_hash, base_url)
    account = shown.id, shown.uuid, shown.nickname, avatar, shown.signature, shown.status, shown.icon_id
    return *account, shown.deleted, shown.bot


def profile(shown: Profile, caller: Caller) -> ProfileResult:
    return ProfileResult(*profile_members(shown, caller.base_url))


def _profile(reply: AccountView, caller: Caller) -> ProfileResult:
    return profile(reply.profile, caller)


def _found(reply: UsersFound, caller: Caller) -> FindResult:
    return FindResult([profile(one, caller) for one in reply.profiles])


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
    """Those that wait for this account's answer."""

    friends: list[FriendRequest]
    joins: list[JoinRequest]


class BlocksResult(msgspec.Struct):
    """`accounts`: ascending."""

    accounts: list[int]


def requests(pending: Requests, _: Caller) -> RequestsResult:
    return RequestsResult(
        [FriendRequest(one.applicant, one.text) for one in pending.friendships],
        [JoinRequest(one.applicant, one.chat, one.text) for one in pending.memberships],
    )


USER_OPERATIONS = (
    Operation(
        "profile", "the profile of an account",
        READ, READS, AccountParameters, ProfileResult, lambda wire, _: GetAccount(wire.account), _profile,
    ),
    Operation("set_profile", "change the own profile", WRITE, MANAGES, ProfileParameters, Nothing, _set_profile),
    Operation(
        "find", "the accounts that have this whole number, username or e-mail address",
        EXPENSIVE, READS, FindParameters, FindResult, lambda wire, _: FindUsers(wire.query), _found,
    ),
    Operation(
        "friends", "list the friends",
        READ, READS, NoParameters, FriendsResult, lambda _, caller: GetAccount(caller.account, lists=True),
    ),
    Operation(
        "requests", "list the requests of others",
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
        "block", "reject private messages and friend requests of an account",
        WRITE, MANAGES, AccountParameters, Nothing, lambda wire, _: SetBlocked(wire.account, blocked=True),
    ),
    Operation(
        "unblock", "do so no more",
        WRITE, MANAGES, AccountParameters, Nothing, lambda wire, _: SetBlocked(wire.account, blocked=False),
    ),
    Operation(
        "blocks", "list the blocked accounts", READ, READS, NoParameters, BlocksResult, lambda *_: ListBlocked()
    ),
)  # fmt: skip
