"""The rules of profiles, chats, memberships and friendships: pure functions. Rejections are raised as RequestError."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, ChatId
from shared.contract.members import SetChat
from shared.contract.model import ChatKind, JoinPolicy, MemberPair, Role
from shared.contract.session import CreateChat, EnsureProfile, SetProfile
from shared.irc_names import is_nick
from shared.names import imitates, is_valid_name, plain_name
from shared.setting_types import Language
from shared.settings.limits import GroupLimits

_HANDLE = re.compile(r"[^\s\x00-\x20,:~\x7f]{2,32}")
LOBBY = ChatId(1)
"""The public lobby, the first chat of every installation."""
LOBBY_NAME = "Lobby"
DELETED_NICKNAME = "已注销用户"
WEBHOOK = "webhook · "

NAMES_IN_DEFAULT_NAME = 3
_CHANGE_TIMES = ("edit_seconds", "recall_seconds")
_GROUP_FIELDS = (
    "name", "avatar", "avatar_hash", "topic", "join_policy", "receipts", "history_for_new", "handle", *_CHANGE_TIMES,
)  # fmt: skip
"""The fields of SetChat, and of a group's row."""
MEMBER_LIST_FIELDS = frozenset(_CHANGE_TIMES)
"""The fields of a group that the message service applies."""
_SEPARATORS: Mapping[Language, str] = {"zh": "、", "en": ", "}
_HASH_CHARACTERS = 128
_SIGNATURE_CHARACTERS = 1_024
_REQUEST_CHARACTERS = 1_000
_REASON_CHARACTERS = 1_000
_LINK_CHARACTERS = 64
_INT64_MAX = 2**63 - 1
_SECONDS_MAX = 2**31 - 1
LATE_MS = 60_000
"""The clocks of clients, of this service and of the message service may differ by this."""
_SAFE_INTEGER_MAX = 2**53 - 1
"""The largest integer that every client can read."""
ALWAYS = _SAFE_INTEGER_MAX
"""The end (Unix ms) that stands for "never ends"."""


class OwnerCandidate(NamedTuple):
    """A member that may become the owner of a chat; `seat` is the order of joining."""

    account: AccountId
    role: Role
    seat: int


def next_owner(candidates: Iterable[OwnerCandidate]) -> OwnerCandidate | None:
    """The next owner of a chat whose owner has left. This is the admin who joined first, else the member who joined
    first; None if there is no member."""
    return min(candidates, key=lambda candidate: (-candidate.role, candidate.seat), default=None)


def default_name(nicknames: Sequence[str], limit: int, language: Language = "zh") -> str:
    """The name of a chat created without one: the nicknames of the first members, cut to `limit` characters."""
    return _SEPARATORS[language].join(nicknames[:NAMES_IN_DEFAULT_NAME])[:limit]


def private_name(nicknames: Mapping[AccountId, str], pair: MemberPair) -> str:
    return "、".join(nicknames[account] for account in sorted({*pair}))


def check_seed(seed: EnsureProfile, limits: GroupLimits) -> None:
    """Check a new profile's first values. At registration, the nickname may be empty; later it may not."""
    check_account(seed.account)
    check_characters("nickname", seed.nickname, limits.nickname_characters)
    for field, text in (("uuid", seed.uuid), ("signature", seed.signature)):
        _check_text(field, text)
    for field, number in (("icon_id", seed.icon_id), ("vip", seed.vip), ("created", seed.created)):
        _check_number(field, number, _INT64_MAX)


def profile_changes(request: SetProfile, limits: GroupLimits) -> dict[str, str | int]:
    """The profile fields that the request changes, with their new values."""
    check_own(request.actor, request.account)
    values: dict[str, str | int] = {}
    if request.nickname is not UNSET:
        values["nickname"] = nickname(request.nickname, limits)
    if request.avatar is not UNSET:
        _check_avatar(request.avatar, limits)
        values["avatar"] = request.avatar
    if request.avatar_hash is not UNSET:
        check_characters("avatar_hash", request.avatar_hash, _HASH_CHARACTERS)
        values["avatar_hash"] = request.avatar_hash
    if request.nick is not UNSET:
        if not is_nick(str(request.nick)):
            raise RequestError(ErrorCode.INVALID, "this is no nick", "nick")
        values["nick"] = request.nick
    if request.signature is not UNSET:
        check_characters("signature", request.signature, _SIGNATURE_CHARACTERS)
        if request.signature.startswith(WEBHOOK):
            raise RequestError(ErrorCode.INVALID, "only a webhook can have such a signature", "signature")
        values["signature"] = request.signature
    for field, number in (("status", request.status), ("icon_id", request.icon_id)):
        if number is not UNSET:
            _check_number(field, number, _SAFE_INTEGER_MAX)
            values[field] = number
    return values


def new_group_members(request: CreateChat, limits: GroupLimits) -> list[AccountId]:
    """The members of a new group: the creator first, then each other account once, in the order listed. Makes all
    checks that need no stored data."""
    if request.kind is not ChatKind.GROUP:
        raise RequestError(ErrorCode.INVALID, "only a group can be created like this", "kind")
    request.name = group_name(request.name, limits)
    _check_avatar(request.avatar, limits)
    check_characters("avatar_hash", request.avatar_hash, _HASH_CHARACTERS)
    if request.handle:
        check_handle(request.handle)
    members = list(dict.fromkeys((request.actor, *request.members)))
    for account in members:
        check_account(account, "members")
    if SYSTEM_ACCOUNT in members:
        raise account_not_found(SYSTEM_ACCOUNT, "members")
    if len(members) > limits.members_per_group:
        raise RequestError(ErrorCode.LIMIT, f"a group has at most {limits.members_per_group} members", "members")
    return members


def group_changes(request: SetChat, limits: GroupLimits) -> dict[str, object]:
    """The columns of a group that the request changes. Makes all checks that need no stored data."""
    if request.name == "":
        raise RequestError(ErrorCode.INVALID, "a name cannot be empty", "name", reason=Reason.LENGTH)
    if isinstance(request.name, str):
        request.name = group_name(request.name, limits)
    if isinstance(request.avatar, str):
        _check_avatar(request.avatar, limits)
    if isinstance(request.avatar_hash, str):
        check_characters("avatar_hash", request.avatar_hash, _HASH_CHARACTERS)
    if isinstance(request.topic, str):
        request.topic = topic(request.topic, limits)
    if request.handle:
        check_handle(request.handle)
    for field in _CHANGE_TIMES:
        if isinstance(seconds := getattr(request, field), int):
            _check_number(field, seconds, _SECONDS_MAX)
    given = {field: getattr(request, field) for field in _GROUP_FIELDS}
    return {field: value for field, value in given.items() if value is not UNSET}


def check_handle(handle: str | UnsetType) -> None:
    rule = "a handle has 2 to 32 visible characters without spaces, commas, colons and ~, and not only digits"
    if (
        not isinstance(handle, str)
        or _HANDLE.fullmatch(handle) is None
        or handle.isdigit()
        or not is_valid_name(handle)
    ):
        raise RequestError(ErrorCode.INVALID, rule, "handle")


def ascii_lower(name: str) -> str:
    """Makes the ASCII letters of a name lower-case, as SQLite does. All other letters keep their case."""
    return "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in name)


# Between accounts


def pair_of(one: AccountId, other: AccountId) -> MemberPair:
    return (one, other) if one < other else (other, one)


def check_peer(actor: AccountId, account: AccountId, field: str = "account") -> None:
    """Check a request of `actor` that concerns another account."""
    check_account(account, field)
    if actor == account:
        raise RequestError(ErrorCode.INVALID, "this is your own account", field, reason=Reason.CHOICE)
    if account == SYSTEM_ACCOUNT:
        raise RequestError(
            ErrorCode.FORBIDDEN, "this account only sends announcements", field, reason=Reason.WRONG_KIND
        )


def check_request_text(text: str) -> None:
    """Check the text of a friend request or a membership request."""
    check_characters("text", text, _REQUEST_CHARACTERS)


def check_reason(reason: str) -> None:
    """Check the reason of a report."""
    if not reason.strip():
        raise RequestError(ErrorCode.INVALID, "a report needs a reason", "reason", reason=Reason.MISSING)
    check_characters("reason", reason, _REASON_CHARACTERS)


def joins_immediately(policy: JoinPolicy, size: int) -> bool:
    """Whether a join needs no approval. Raises RequestError when the group accepts no requests, or has no members to
    answer a request."""
    if policy is JoinPolicy.CLOSED or (policy is JoinPolicy.APPROVAL and not size):
        raise RequestError(ErrorCode.FORBIDDEN, "nobody can ask to join this group", "chat", 0, Reason.CLOSED)
    return policy is JoinPolicy.OPEN


def shows_history(policy: JoinPolicy, history_for_new: bool | None) -> bool:
    """Whether new members see the messages that are older than their membership."""
    return policy is JoinPolicy.OPEN if history_for_new is None else history_for_new


def check_can_manage(role: Role | None) -> None:
    """Raises RequestError unless the role may manage a group, as the owner and admins may. A non-member receives the
    same error as for an unknown chat."""
    if role is None:
        raise hidden_error(ErrorCode.FORBIDDEN)
    if role < Role.ADMIN:
        raise RequestError(
            ErrorCode.FORBIDDEN, "only the owner and the admins of a group may do that", "chat", 0, Reason.NOT_ADMIN
        )


def check_can_remove(role: Role | None, removed: Role | None) -> None:
    """Raises RequestError unless `role` may remove a member with the role `removed`. The owner and admins may remove
    members of a lower role. `removed` is None for an account that is no member."""
    check_can_manage(role)
    check_outranks(role, removed)


def check_outranks(role: Role | None, member: Role | None) -> None:
    """Raises RequestError unless `role` is higher than the role `member`. `member` is None for an account that is no
    member."""
    if member is None:
        raise not_a_member()
    if role is None or member >= role:
        raise RequestError(
            ErrorCode.FORBIDDEN, "this can only be done to members of a lower role", "account", reason=Reason.NOT_OWNER
        )


def check_is_owner(role: Role | None) -> None:
    """Raises RequestError unless the role is the owner's. A non-member receives the same error as for an unknown
    chat."""
    if role is None:
        raise hidden_error(ErrorCode.FORBIDDEN)
    if role is not Role.OWNER:
        raise RequestError(ErrorCode.FORBIDDEN, "only the owner of a group may do that", "chat", 0, Reason.NOT_OWNER)


def check_can_set_role(actor: Role | None, member: Role | None) -> None:
    """Raises RequestError unless `actor` is the owner, who alone may set roles. `member`: the present role of the other
    account; None if the account is no member."""
    check_is_owner(actor)
    if member is None:
        raise not_a_member()


def nobody_owns() -> RequestError:
    return RequestError(ErrorCode.FORBIDDEN, "nobody owns this group", "role", reason=Reason.NOT_OWNER)


def check_count(present: int, most: int, rule: str, field: str) -> None:
    """Check that there are fewer than `most` things, so that one more can be added. `rule`: the text for users, with {}
    in place of `most`."""
    if present >= most:
        raise RequestError(ErrorCode.LIMIT, rule.format(most), field)


def check_capacity(number: ChatId, size: int, limits: GroupLimits) -> None:
    """Check that a group of `size` members accepts one more; the lobby has no limit."""
    if number != LOBBY:
        check_count(size, limits.members_per_group, "a group has at most {} members", "members")


def check_chat_count(chats: int, limits: GroupLimits, field: str = "chats") -> None:
    """Check that an account in this number of groups may join one more."""
    check_count(chats, limits.chats_per_account, "an account has at most {} chats", field)


def check_member_count(chats: int, limits: GroupLimits, *, is_friend: bool) -> None:
    """Check that another account, which is a friend or not, may make an account in this number of groups a member of
    one more."""
    check_chat_count(chats, limits, "members")
    if not is_friend and chats >= (limits.chats_per_account + 1) // 2:
        raise RequestError(
            ErrorCode.FORBIDDEN, "only friends can add a member to further groups", "members", reason=Reason.NOT_FRIEND
        )


def check_link(link: str, field: str = "link") -> None:
    """Check a link, or a text of the same form."""
    check_characters(field, link, _LINK_CHARACTERS)


def check_uses(uses: int) -> None:
    _check_number("uses", uses, _SAFE_INTEGER_MAX)


def check_end(field: str, time: int, now: int) -> None:
    """Check a time limit in Unix ms: it must not be in the past, or must be 0 for no limit. A time shortly before now
    is accepted, because a request may be repeated and clocks differ."""
    _check_number(field, time, _SAFE_INTEGER_MAX)
    if 0 < time < now - LATE_MS:
        raise RequestError(
            ErrorCode.INVALID, f"{field} is in the past: the unit is Unix milliseconds", field, reason=Reason.RANGE
        )


# Every request


def check_actor(actor: AccountId) -> None:
    if actor <= NO_ACCOUNT:
        raise RequestError(ErrorCode.UNAUTHENTICATED, "please log in first")


def check_own(actor: AccountId, account: AccountId) -> None:
    if actor != account:
        raise RequestError(ErrorCode.FORBIDDEN, "you can only set your own profile", "account", reason=Reason.NOT_OWNER)


def check_account(account: AccountId, field: str = "account") -> None:
    """Raises RequestError for an id that is out of the range of a database column, because no account has such an
    id."""
    if not 1 <= account <= _INT64_MAX:
        raise account_not_found(account, field)


def check_chat(chat: ChatId) -> None:
    """Raises RequestError for an id that is out of the range of a database column, because no chat has such an id."""
    if not 1 <= chat <= _INT64_MAX:
        raise hidden_error(ErrorCode.NOT_FOUND)


def hidden_error(code: ErrorCode) -> RequestError:
    """The error for a chat that does not exist, and for a chat of which the actor is no member. The text is the same in
    both cases."""
    return RequestError(code, "you are in no such chat", "chat", reason=Reason.NOT_MEMBER)


def member_already() -> RequestError:
    return RequestError(ErrorCode.CONFLICT, "a member already", "chat", reason=Reason.MEMBER_ALREADY)


def not_a_member() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "this account is no member of the group", "account")


def no_pending_request(field: str) -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "no request waits for this answer", field)


def account_not_found(account: AccountId, field: str = "account") -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, f"there is no account {account}", field)


def _check_avatar(address: str, limits: GroupLimits) -> None:
    """Check the address of an avatar. An empty address means the generated avatar. A path without a host is a picture
    that every edge serves."""
    _check_text("avatar", address)
    if address and not address.startswith(("http://", "https://", "/avatar/", "/media/")):
        raise RequestError(ErrorCode.INVALID, "an avatar is an http(s) address", "avatar")
    if len(address.encode()) > limits.address_url_bytes:
        raise RequestError(ErrorCode.TOO_LARGE, f"an address has at most {limits.address_url_bytes} bytes", "avatar")


def check_characters(field: str, text: str, limit: int) -> None:
    _check_text(field, text)
    if len(text) > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"{field} has at most {limit} characters", field)


def _check_text(field: str, text: str) -> None:
    """Reject U+0000, which PostgreSQL cannot store. Lone surrogates need no check here, because decoding a NATS message
    rejects them."""
    if "\0" in text:
        raise RequestError(ErrorCode.INVALID, f"{field} must not contain U+0000", field)


def _check_number(field: str, number: int, largest: int) -> None:
    if not 0 <= number <= largest:
        raise RequestError(ErrorCode.INVALID, f"{field} is out of range", field, reason=Reason.RANGE)


def nickname(name: str, limits: GroupLimits) -> str:
    if not name:
        raise RequestError(ErrorCode.INVALID, "a nickname cannot be empty", "nickname", reason=Reason.LENGTH)
    return _plain("nickname", name, limits.nickname_characters)


def group_name(name: str, limits: GroupLimits) -> str:
    """Check the name of a group. An empty name means that the group has no name of its own."""
    return _plain("name", name, limits.group_name_characters)


def topic(text: str, limits: GroupLimits) -> str:
    return _plain("topic", text, limits.topic_characters)


def webhook_signature(maker: AccountId) -> str:
    """The signature in the profile of an incoming webhook. Every dialect shows the signature, which says who made the
    webhook."""
    return f"{WEBHOOK}{maker:010d}"


def webhook_name(name: str, limits: GroupLimits) -> str:
    if not name:
        raise RequestError(ErrorCode.INVALID, "a name cannot be empty", "name", reason=Reason.LENGTH)
    return _plain("name", name, limits.nickname_characters)


def check_no_imitation(field: str, name: str, reserved: str) -> None:
    """Raises RequestError if the name resembles `reserved`, the nickname of the system account, which sends the
    operator's announcements."""
    if imitates(name, reserved):
        raise RequestError(
            ErrorCode.INVALID,
            f"this {field} resembles that of the operator's announcements",
            field,
            reason=Reason.TAKEN,
        )


def _plain(field: str, name: str, limit: int) -> str:
    plain = plain_name(name)
    if len(plain) > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"{field} has at most {limit} characters", field)
    if not is_valid_name(plain):
        reason = "must not be blank, and must not contain control or invisible characters"
        raise RequestError(ErrorCode.INVALID, f"{field} {reason}", field)
    return plain
