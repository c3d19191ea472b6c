"""The rules of profiles, chats, membership and friendship: pure, no clock, no randomness. Refusals are raised as
Refused."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, ChatId
from shared.contract.model import ChatKind, JoinPolicy, MemberPair, Role
from shared.contract.session import CreateChat, EnsureProfile, RenameChat, SetProfile
from shared.settings import Limits

T = TypeVar("T")
N = TypeVar("N", bound=int)

LOBBY = ChatId(1)
"""The public lobby, the first chat of every installation."""
LOBBY_NAME = "Lobby"
DELETED_NICKNAME = "已注销用户"

_NAMES_IN_A_NAME = 3
_HASH_CHARACTERS = 128
_SIGNATURE_CHARACTERS = 1_024
_REQUEST_CHARACTERS = 1_000
_LARGEST = 2**63 - 1
_LARGEST_SHOWN = 2**53 - 1
"""Numbers that every client can read."""


class Candidate(NamedTuple):
    """A member who may inherit a chat; `seat` is the order of joining."""

    account: AccountId
    role: Role
    seat: int


def heir(candidates: Iterable[Candidate]) -> Candidate | None:
    """Who owns a chat after its owner has gone: the oldest admin, else the oldest member, else nobody."""
    return min(candidates, key=lambda candidate: (-candidate.role, candidate.seat), default=None)


def default_name(nicknames: Sequence[str], limit: int) -> str:
    """What a chat without a name is called: its first members, as far as the limit on names allows."""
    return "、".join(nicknames[:_NAMES_IN_A_NAME])[:limit]


def check_seed(seed: EnsureProfile, limits: Limits) -> None:
    """A new profile's first values. An account may be nameless when it registers, not later."""
    check_account(seed.account)
    _check_characters("nickname", seed.nickname, limits.nickname_characters)
    for field, text in (("uuid", seed.uuid), ("signature", seed.signature)):
        _check_text(field, text)
    for field, number in (("icon_id", seed.icon_id), ("vip", seed.vip), ("created", seed.created)):
        _check_number(field, number, _LARGEST)


def new_values(request: SetProfile, limits: Limits) -> dict[str, str | int]:
    """What is to be set, by field of the profile."""
    check_actor(request.actor)
    if request.actor != request.account:
        raise RequestError(ErrorCode.FORBIDDEN, "only one's own profile can be set", "account")
    values: dict[str, str | int] = {}
    if request.nickname is not UNSET:
        _check_nickname(request.nickname, limits)
        values["nickname"] = request.nickname
    if request.avatar is not UNSET:
        _check_avatar(request.avatar, limits)
        values["avatar"] = request.avatar
    if request.avatar_hash is not UNSET:
        _check_characters("avatar_hash", request.avatar_hash, _HASH_CHARACTERS)
        values["avatar_hash"] = request.avatar_hash
    if request.signature is not UNSET:
        _check_characters("signature", request.signature, _SIGNATURE_CHARACTERS)
        values["signature"] = request.signature
    for field, number in (("status", request.status), ("icon_id", request.icon_id)):
        if number is not UNSET:
            _check_number(field, number, _LARGEST_SHOWN)
            values[field] = number
    return values


def new_chat(request: CreateChat, limits: Limits) -> list[AccountId]:
    """The members of a chat that may be made so, as far as can be told without the stored: the creator first, then
    each of the others once, as listed."""
    check_actor(request.actor)
    if request.kind is not ChatKind.GROUP:
        raise RequestError(ErrorCode.INVALID, "only groups can be made", "kind")
    _check_characters("name", request.name, limits.group_name_characters)
    _check_avatar(request.avatar, limits)
    _check_characters("avatar_hash", request.avatar_hash, _HASH_CHARACTERS)
    members = list(dict.fromkeys((request.actor, *request.members)))
    for account in members:
        check_account(account, "members")
    if SYSTEM_ACCOUNT in members:
        raise no_account(SYSTEM_ACCOUNT, "members")
    if len(members) > limits.members_per_group:
        raise RequestError(ErrorCode.LIMIT, f"a group has at most {limits.members_per_group} members", "members")
    return members


def new_name(request: RenameChat, limits: Limits) -> str:
    """What a group may be called from now on."""
    check_actor(request.actor)
    check_chat(request.chat)
    if not request.name:
        raise RequestError(ErrorCode.INVALID, "a name cannot be empty", "name")
    _check_characters("name", request.name, limits.group_name_characters)
    return request.name


# Between people


def pair_of(one: AccountId, other: AccountId) -> MemberPair:
    return (one, other) if one < other else (other, one)


def check_other(actor: AccountId, account: AccountId, field: str = "account") -> None:
    """What one asks of somebody else."""
    check_actor(actor)
    check_account(account, field)
    if actor == account:
        raise RequestError(ErrorCode.INVALID, "that is yourself", field)
    if account == SYSTEM_ACCOUNT:
        raise RequestError(ErrorCode.FORBIDDEN, "this account only tells notices", field)


def check_request(text: str) -> None:
    """The words that go with a request."""
    _check_characters("text", text, _REQUEST_CHARACTERS)


def joins_at_once(policy: JoinPolicy) -> bool:
    """Otherwise somebody is asked. Raises Refused when nobody may join by himself."""
    if policy is JoinPolicy.CLOSED:
        raise RequestError(ErrorCode.FORBIDDEN, "nobody can ask to join this group", "chat")
    return policy is JoinPolicy.OPEN


def check_runs(role: Role | None) -> None:
    """Owner and admins decide about a group; others are told whether they are in it."""
    if role is None:
        raise not_yours(ErrorCode.FORBIDDEN)
    if role < Role.ADMIN:
        raise RequestError(ErrorCode.FORBIDDEN, "only the owner and the admins of a group may do that", "chat")


def check_room(number: ChatId, size: int, limits: Limits) -> None:
    """There is a place for one more."""
    if number != LOBBY and size >= limits.members_per_group:
        raise RequestError(ErrorCode.LIMIT, f"a group has at most {limits.members_per_group} members", "members")


def check_count(chats: int, limits: Limits) -> None:
    """An account may be in one chat more."""
    if chats >= limits.chats_per_account:
        raise RequestError(ErrorCode.LIMIT, f"an account has at most {limits.chats_per_account} chats", "chats")


def check_pending(requests: int, limits: Limits) -> None:
    """An account may ask for one thing more."""
    if requests >= limits.requests_pending:
        raise RequestError(
            ErrorCode.LIMIT, f"at most {limits.requests_pending} requests may wait for an answer", "requests"
        )


# Lists


def fitting(items: Sequence[T], most_bytes: int) -> Sequence[T]:
    """As many of the first as have room in so many bytes on the bus."""
    for count, item in enumerate(items):
        most_bytes -= len(msgspec.msgpack.encode(item))
        if most_bytes < 0:
            return items[:count]
    return items


def storable(numbers: Iterable[N]) -> list[N]:
    """Each once, ascending; what cannot be stored is nobody's."""
    return sorted({number for number in numbers if 1 <= number <= _LARGEST})


def check_many(items: Sequence[object], most: int, field: str) -> None:
    if len(items) > most:
        raise RequestError(ErrorCode.LIMIT, f"at most {most} at once", field)


# Of every request


def check_actor(actor: AccountId) -> None:
    if actor <= NO_ACCOUNT:
        raise RequestError(ErrorCode.UNAUTHENTICATED, "please log in first")


def check_account(account: AccountId, field: str = "account") -> None:
    """An id that cannot be stored is one that nobody has."""
    if not 1 <= account <= _LARGEST:
        raise no_account(account, field)


def check_chat(chat: ChatId) -> None:
    """An id that cannot be stored is one that no chat has."""
    if not 1 <= chat <= _LARGEST:
        raise not_yours(ErrorCode.NOT_FOUND)


def not_yours(code: ErrorCode) -> RequestError:
    """In the same words, whether there is no such chat or one is no member of it."""
    return RequestError(code, "you are in no such chat", "chat")


def nothing_pending(field: str) -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "nothing waits for that answer", field)


def no_account(account: AccountId, field: str = "account") -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, f"there is no account {account}", field)


def _check_nickname(nickname: str, limits: Limits) -> None:
    if not nickname:
        raise RequestError(ErrorCode.INVALID, "a nickname cannot be empty", "nickname")
    _check_characters("nickname", nickname, limits.nickname_characters)


def _check_avatar(address: str, limits: Limits) -> None:
    """Empty means the generated one; a path alone, a picture that every edge serves."""
    _check_text("avatar", address)
    if address and not address.startswith(("http://", "https://", "/avatar/", "/media/")):
        raise RequestError(ErrorCode.INVALID, "an avatar is an http(s) address", "avatar")
    if len(address.encode()) > limits.address_url_bytes:
        raise RequestError(ErrorCode.TOO_LARGE, f"an address has at most {limits.address_url_bytes} bytes", "avatar")


def _check_characters(field: str, text: str, limit: int) -> None:
    _check_text(field, text)
    if len(text) > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"{field} has at most {limit} characters", field)


def _check_text(field: str, text: str) -> None:
    """Lone surrogates never get here: the bus refuses them."""
    if "\0" in text:
        raise RequestError(ErrorCode.INVALID, f"{field} must not contain U+0000", field)


def _check_number(field: str, number: int, largest: int) -> None:
    if not 0 <= number <= largest:
        raise RequestError(ErrorCode.INVALID, f"{field} is out of range", field)
