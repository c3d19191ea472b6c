"""OurChat v2, client to server. For each code, one reader makes a command from the frame."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import GetServerStatus, PostMessage, RequestVerification
from services.edge.canonical.frames import Frame
from services.edge.dialects import credentials, validation
from services.edge.dialects.addresses import stored_address
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.json_frames import WireId, decode_as, integer, read_object
from services.edge.dialects.ourchat_envelope import (
    QUOTED_CHARACTERS,
    Members,
    check_own_account,
    login_command,
    reader_of,
)
from services.edge.dialects.ourchat_v2.codes import V2Code
from services.edge.dialects.ourchat_v2.segments import WireSegment, from_wire
from services.edge.dialects.ourchat_v2.values import ACCOUNT_VALUES, SESSION_VALUES
from shared.contract.auth import DeleteAccount, IdentifierKind, Register
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import File, Image, JoinPolicy
from shared.contract.session import CreateChat, GetAccount, GetChat, SetProfile
from shared.settings.limits import FrameLimits

_NOT_SETTABLE = frozenset({
    "ocid", "time", "update_time", "public_update_time", "private_update_time", "sessions", "friends",
})  # fmt: skip
_SETTABLE = frozenset({"nickname", "avatar", "avatar_hash", "status"})

_Hash = Annotated[str, msgspec.Meta(max_length=128)]


def request_of(frame: Frame, account: AccountId, limits: FrameLimits) -> Request:
    """Decode any frame on a connection of this account. For the most frequent frame, see V2FastMessage. Raises
    DecodeError."""
    members = read_object(frame, limits)
    return reader_of(_READERS, integer(members, "code"))(members, account, limits)


# 用户信息


class _V2SenderMember(msgspec.Struct):
    session_id: WireId
    ocid: WireId | UnsetType = UNSET


class _V2MessageBody(msgspec.Struct):
    """A message. Its `time` is ignored, because the server's clock decides."""

    sender: _V2SenderMember
    msg: list[WireSegment]


def _message(members: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 0. `sender.session_id` names the session. If `sender.ocid` is present, it must be the connection's
    own account."""
    wire = decode_as(members, _V2MessageBody)
    if wire.sender.ocid is not UNSET:
        check_own_account(wire.sender.ocid, "sender.ocid", account)
    segments = validation.message_text(tuple(from_wire(one, limits) for one in wire.msg), limits)
    references_media = any(isinstance(segment, Image | File) for segment in segments)
    return Request(PostMessage(ChatId(wire.sender.session_id.number), segments, references_media=references_media))


# 获取会话信息, 获取账号信息, 设置账号信息


class _GetSessionBody(msgspec.Struct):
    session_id: WireId
    request_values: list[str]


def _get_session(members: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 1. The context of the request is the names of the requested values, in their order."""
    wire = decode_as(members, _GetSessionBody)
    return Request(GetChat(ChatId(wire.session_id.number)), _requested_values(wire.request_values, SESSION_VALUES))


class _GetAccountBody(msgspec.Struct):
    ocid: WireId
    request_values: list[str]


def _get_account(members: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 10. The context of the request is the same as for a frame 1."""
    wire = decode_as(members, _GetAccountBody)
    names = _requested_values(wire.request_values, ACCOUNT_VALUES)
    lists = "sessions" in names or "friends" in names
    return Request(GetAccount(AccountId(wire.ocid.number), lists=lists), names)


def _requested_values(names: list[str], known: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise _unknown_value(name)
    return tuple(dict.fromkeys(names))


def _unknown_value(name: str) -> DecodeError:
    return DecodeError(f"unknown value {name[:QUOTED_CHARACTERS]!r}")


class _AccountSettings(msgspec.Struct):
    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    avatar_hash: _Hash | UnsetType = UNSET
    status: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | UnsetType = UNSET


class _SetAccountBody(msgspec.Struct):
    ocid: WireId
    data: dict[str, Any]


def _set_account(members: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 19. A frame with another account, or with a value that cannot be set, is rejected by a frame 20."""
    wire = decode_as(members, _SetAccountBody)
    check_own_account(wire.ocid, "ocid", account, SetProfile)
    for name in wire.data:
        if name in _NOT_SETTABLE:
            raise DecodeError(f"`{name}` cannot be set", ErrorCode.FORBIDDEN, SetProfile)
        if name not in _SETTABLE:
            raise _unknown_value(name)
    settings = decode_as(wire.data, _AccountSettings)
    command = SetProfile(account, avatar_hash=settings.avatar_hash, status=settings.status)
    if settings.nickname is not UNSET:
        command.nickname = validation.nickname(settings.nickname, limits)
    if settings.avatar is not UNSET:
        command.avatar = stored_address(settings.avatar, limits)
        if not (command.avatar or settings.avatar_hash):
            command.avatar_hash = ""  # the generated avatar has its own hash
    return Request(command)


# 注册信息, 登录信息


class _V2RegisterBody(msgspec.Struct):
    email: str
    password: str
    name: str = ""


def _register(members: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 4. Without a name, the local part of the e-mail address becomes the nickname."""
    wire = decode_as(members, _V2RegisterBody)
    email = credentials.email(wire.email)
    nickname = wire.name or email.partition("@")[0][: limits.nickname_characters]
    secret = credentials.password(wire.password)
    return Request(Register(secret=secret, nickname=validation.nickname(nickname, limits), email=email))


class _V2LoginBody(msgspec.Struct):
    login_type: Literal[0, 1]
    account: str | int
    password: str


def _login(members: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 6. A login_type of 0 means a login by e-mail address, and 1 a login by OC number."""
    wire = decode_as(members, _V2LoginBody)
    kind = IdentifierKind.ID if wire.login_type else IdentifierKind.EMAIL
    return Request(login_command(kind, wire.account, wire.password))


# 新建会话


class _NewSessionBody(msgspec.Struct):
    members: list[WireId]
    name: str = ""
    avatar: str = ""
    avatar_hash: _Hash = ""


def _new_session(members: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 8, which creates a closed group. A member that is named several times is added once."""
    wire = decode_as(members, _NewSessionBody)
    return Request(
        CreateChat(
            members=[AccountId(number) for number in dict.fromkeys(member.number for member in wire.members)],
            name=wire.name and validation.group_name(wire.name, limits),
            avatar=stored_address(wire.avatar, limits),
            avatar_hash=wire.avatar_hash,
            join_policy=JoinPolicy.CLOSED,
        )
    )


_READERS: Mapping[int, Callable[[Members, AccountId, FrameLimits], Request]] = {
    V2Code.MESSAGE: _message,
    V2Code.GET_SESSION: _get_session,
    V2Code.REGISTER: _register,
    V2Code.LOGIN: _login,
    V2Code.NEW_SESSION: _new_session,
    V2Code.GET_ACCOUNT: _get_account,
    V2Code.SERVER_STATUS: lambda *_: Request(GetServerStatus()),
    V2Code.SEND_VERIFICATION: lambda *_: Request(RequestVerification()),
    V2Code.DELETE_ACCOUNT: lambda *_: Request(DeleteAccount()),
    V2Code.SET_ACCOUNT: _set_account,
}


class V2FastSender(msgspec.Struct, frozen=True, gc=False):
    session_id: str
    ocid: str | UnsetType = UNSET


class V2FastText(msgspec.Struct, frozen=True, gc=False):
    type: Literal[0]
    text: str


class V2FastMessage(msgspec.Struct, frozen=True, gc=False):
    code: Literal[0]
    sender: V2FastSender
    msg: tuple[V2FastText]
    time: float | UnsetType = UNSET
