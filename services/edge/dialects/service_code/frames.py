"""The frames of the dialect service, under the headings of the protocol's document. For each `service_code`, one reader
makes a command from the frame's `content`. Frames to clients are written byte for byte."""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from services.edge.canonical.commands import Command, CreateChatByUuid, PostMessage
from services.edge.canonical.frames import Frame
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects import validation
from services.edge.dialects.base import ERROR_CACHE_SIZE, DecodeError, Request
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.json_frames import WireId, count_quotes, decode_as, integer, read_object
from services.edge.dialects.text_fallback import render_message
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import IdentifierKind, Login, Register
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import ChatId
from shared.contract.members import RequestMembership
from shared.contract.message import GetHistory
from shared.contract.model import ChatKind, ProfileSummary, Scheme, Secret, Text
from shared.contract.session import ChatWithMembers, ListChatViews
from shared.setting_types import Language
from shared.settings.limits import FrameLimits


class ServiceCode(IntEnum):
    LOGIN = 1
    """登录."""
    REGISTER = 2
    """注册."""
    GET_CHAT = 3
    """获取Chat: messages, newest first."""
    FIND_CHATS = 4
    """找Chat."""
    SEND = 5
    """收发."""
    JOIN = 6
    """加入群聊."""
    CREATE = 7
    """创建群聊."""
    PUSH = 8
    """A message from the server to a client that has requested pushes."""
    RECEIVE = 9
    """接收消息: messages, oldest first, or newest first from the end."""


_COUNT = 200
"""The most messages of one request."""
_NAME_CHARACTERS = 8
"""The number of characters of the uuid that become the nickname. A registration in this dialect has no other name."""
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

_BYTES = 4096
"""The most bytes of a token. The auth service limits secrets further."""
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""The form of a JWT. Its header is a JSON object, so each JWT begins with these characters."""

Content = dict[str, Any]
_Credential = int | str


# The field `token` contains either the client's own secret or a token of this server. It is a number or a text.


def credential_text(credential: int | str) -> str:
    """Return the text of a secret or token. A number is the same secret as its decimal digits. Raises DecodeError."""
    text = str(credential)
    if len(text.encode()) > _BYTES:
        raise DecodeError(f"`token` has at most {_BYTES} bytes", ErrorCode.TOO_LARGE)
    return text


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


class ConnectionSecret:
    """The secret with which a connection has logged in. Only its digest is kept, because later requests are only
    compared with it."""

    def __init__(self, secret: str = "") -> None:
        self._digest = _digest(secret) if secret else b""

    def matches(self, text: str) -> bool:
        return bool(self._digest) and hmac.compare_digest(self._digest, _digest(text))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


# Frames


class ServiceContext(NamedTuple):
    """The context of a request. `push`: whether the login requests pushes."""

    code: ServiceCode
    push: bool = False


def request_of(frame: Frame, secret: ConnectionSecret, limits: FrameLimits) -> Request:
    """Decode a frame. `secret`: the secret with which the connection has logged in. Raises DecodeError."""
    return _fast_request(frame, secret, limits) or _any_request(frame, secret, limits)


def _any_request(frame: Frame, secret: ConnectionSecret, limits: FrameLimits) -> Request:
    members = read_object(frame, limits)
    code = integer(members, "service_code")
    content = members.get("content")
    if not isinstance(content, dict):
        raise DecodeError("`content` must be an object")
    if code in (ServiceCode.LOGIN, ServiceCode.REGISTER):
        return _login_or_register(ServiceCode(code), content)
    reader = _READERS.get(code)
    if reader is None:
        raise DecodeError("`service_code` is not one that clients send")
    return Request(
        reader(content, limits), ServiceContext(ServiceCode(code)), _proof(decode_as(content, _TokenBody).token, secret)
    )


# 登录, 注册


class _LoginBody(msgspec.Struct):
    id: str
    token: _Credential
    push: bool = False


def _login_or_register(code: ServiceCode, content: Content) -> Request:
    """Read a frame 1 or 2. `token` is the client's own secret. In a frame 1, it may instead be a token that this server
    has issued to the account."""
    wire = decode_as(content, _LoginBody)
    uuid, text = _uuid(wire.id), credential_text(wire.token)
    if not text:
        raise DecodeError("`token` is empty")
    secret, context = Secret(Scheme.SERVICE, text), ServiceContext(code, wire.push)
    if code is ServiceCode.LOGIN:
        login = Login(kind=IdentifierKind.UUID, identifier=uuid, secret=secret)
        return Request(login, context, text if is_token(text) else "")
    if is_token(text):
        raise DecodeError("a token of this server cannot be a user's own secret")
    return Request(Register(uuid=uuid, secret=secret, nickname=uuid[:_NAME_CHARACTERS]), context)


def _uuid(text: str) -> str:
    lower = text.lower()
    if not _UUID.fullmatch(lower):
        raise DecodeError("an `id` must be a UUID")
    return lower


class _TokenBody(msgspec.Struct):
    token: _Credential = ""


def _proof(token: _Credential, secret: ConnectionSecret) -> str:
    """Return the token of a request. The result is empty if the request has the secret with which the connection has
    logged in. Raises DecodeError."""
    text = credential_text(token)
    if not text:
        raise DecodeError("`token` is missing", ErrorCode.UNAUTHENTICATED)
    return "" if secret.matches(text) else text


# 获取Chat, 接收消息


class _HistoryBody(msgspec.Struct):
    chat: WireId
    index: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    count: Annotated[int, msgspec.Meta(ge=1, le=_COUNT)]


def _get_chat(content: Content, limits: FrameLimits) -> Command:
    """Read a frame 3, which requests messages and older ones. The first is the message with `index` or, if `index` is
    negative, the −index-th newest message."""
    wire = decode_as(content, _HistoryBody)
    return GetHistory(ChatId(wire.chat.number), wire.index, wire.count)


def _receive(content: Content, limits: FrameLimits) -> Command:
    """Read a frame 9, which requests messages from `index` (0: the first) towards newer messages. If `index` is
    negative, it requests messages from the −index-th newest towards older messages."""
    wire = decode_as(content, _HistoryBody)
    older = wire.index < 0
    return GetHistory(ChatId(wire.chat.number), wire.index or 1, wire.count, older=older)


# 收发, 加入群聊, 创建群聊


class _MessageBody(msgspec.Struct):
    chat: WireId
    msg: str


def _send(content: Content, limits: FrameLimits) -> Command:
    wire = decode_as(content, _MessageBody)
    return PostMessage(ChatId(wire.chat.number), validation.message_text((Text(wire.msg),), limits))


class _FastContent(msgspec.Struct, frozen=True, gc=False):
    chat: int | str
    msg: str
    token: _Credential


class _FastMessage(msgspec.Struct, frozen=True, gc=False):
    service_code: Literal[5]
    content: _FastContent


_FAST_READER = FastReader(
    _FastMessage, lambda wire: 12 + count_quotes(wire.content.chat) + count_quotes(wire.content.token)
)
_SEND_CONTEXT = ServiceContext(ServiceCode.SEND)


def _fast_request(frame: Frame, secret: ConnectionSecret, limits: FrameLimits) -> Request | None:
    """Read a frame 5 by the fast path. Raises DecodeError."""
    wire = _FAST_READER.read(frame, limits)
    if wire is None:
        return None
    content = wire.content
    chat = parse_id(content.chat)
    if chat is None or not content.msg:
        return None
    return Request(PostMessage(ChatId(chat), (Text(content.msg),)), _SEND_CONTEXT, _proof(content.token, secret))


class _JoinBody(msgspec.Struct):
    chat: WireId


def _join(content: Content, limits: FrameLimits) -> Command:
    return RequestMembership(ChatId(decode_as(content, _JoinBody).chat.number))


class _MemberBody(msgspec.Struct):
    id: str


class _CreateBody(msgspec.Struct):
    name: str
    is_group: bool
    member: list[_MemberBody]


def _create(content: Content, limits: FrameLimits) -> Command:
    """Read a frame 7. A member that is named several times is added once, and the creator need not be named."""
    wire = decode_as(content, _CreateBody)
    uuids = tuple(dict.fromkeys(_uuid(member.id) for member in wire.member))
    return CreateChatByUuid(uuids, wire.name and validation.group_name(wire.name, limits), private=not wire.is_group)


_READERS: Mapping[int, Callable[[Content, FrameLimits], Command]] = {
    ServiceCode.GET_CHAT: _get_chat,
    ServiceCode.FIND_CHATS: lambda *_: ListChatViews(),
    ServiceCode.SEND: _send,
    ServiceCode.JOIN: _join,
    ServiceCode.CREATE: _create,
    ServiceCode.RECEIVE: _receive,
}

# Frames to clients

_encode = msgspec.json.Encoder().encode
_OK = 200

_TYPES: Mapping[ChatKind, str] = {ChatKind.GROUP: "chat", ChatKind.PRIVATE: "user", ChatKind.SERVICE: "service"}


def success(**more: object) -> bytes:
    """服务器返回值(成功)."""
    return ok({"msg": "success", **more})


def ok(content: dict[str, object]) -> bytes:
    return _encode({"state_code": _OK, "content": content})


def failed(cause: str) -> bytes:
    """Encode 服务器返回值(失败): a valid request was rejected (failed)."""
    return ok({"msg": "failed", "cause": cause})


def error(state: int, text: str) -> bytes:
    """服务器返回值(其他失败)."""
    return _encode({"state_code": state, "content": {"msg": text}})


def push(shown: DisplayMessage, base_url: str, language: Language = "zh") -> bytes:
    content = {"chat": shown.message.chat, "values": [received(shown, base_url, language)]}
    return _encode({"service_code": ServiceCode.PUSH, "content": content})


def value(shown: DisplayMessage, base_url: str, language: Language = "zh") -> dict[str, object]:
    """Encode a message of 获取Chat, with `time` in Unix seconds."""
    message = shown.message
    return {
        "id": _sender_summary(shown).uuid,
        "content": render_message(shown.segments, base_url, language),
        "index": message.index,
        "time": message.time // 1000,
    }


def received(shown: DisplayMessage, base_url: str, language: Language = "zh") -> dict[str, object]:
    """Encode a message of 接收消息, with its sender's nickname."""
    return {"name": _sender_summary(shown).nickname, **value(shown, base_url, language)}


def _sender_summary(shown: DisplayMessage) -> ProfileSummary:
    return shown.summary or ProfileSummary(str(shown.message.sender), "")


def chats(views: Iterable[ChatWithMembers], language: Language = "zh") -> bytes:
    """Encode 找Chat (find chats). The kind of a chat has both forms that are in the document."""
    return ok({"values": [_chat(view, language) for view in views]})


def _chat(view: ChatWithMembers, language: Language) -> dict[str, object]:
    chat, separator = view.chat, "、" if language == "zh" else ", "
    return {
        "id": chat.id,
        "name": chat.name or separator.join(face.nickname for face in view.members),
        "type": _TYPES[chat.kind],
        "is_group": chat.kind is ChatKind.GROUP,
        "usrs": [{"id": face.uuid} for face in view.members],
    }


STATES: Mapping[ErrorCode, int | None] = {
    ErrorCode.INVALID: 400, ErrorCode.UNAUTHENTICATED: 401, ErrorCode.FORBIDDEN: 403, ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: None, ErrorCode.LIMIT: None, ErrorCode.TOO_LARGE: 413, ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503, ErrorCode.INTERNAL: 500,
}  # fmt: skip
"""The state code of each error. None means a reply with state 200 and `failed`."""

_FAILED_ONLY: Mapping[type | None, frozenset[ErrorCode]] = {
    Register: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}),
    Login: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
    RequestMembership: frozenset({ErrorCode.FORBIDDEN}),
    CreateChatByUuid: frozenset({ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
}
"""For these commands, these errors also have a reply with state 200 and `failed`."""


def error_reply(kind: type | None, failure: Failure) -> tuple[bytes]:
    """`kind`: the type of the command, or None if the frame was not decoded."""
    fails_only = failure.code in _FAILED_ONLY.get(kind, ())
    return _encoded(None if fails_only else STATES[failure.code], failure.words)


@lru_cache(ERROR_CACHE_SIZE)
def _encoded(state: int | None, text: str) -> tuple[bytes]:
    return (failed(text) if state is None else error(state, text),)
