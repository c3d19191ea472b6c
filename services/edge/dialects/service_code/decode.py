"""service, client to server: one reader per `service_code`, each from the shape of its `content` to a command."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from services.edge.canonical.commands import Command, CreateChatOf, PostMessage
from services.edge.canonical.frames import Frame
from services.edge.dialects import validation
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.json_frames import (
    Plain,
    WireId,
    decode_as,
    integer,
    parse_id,
    quotes_of,
    read_object,
)
from services.edge.dialects.service_code.codes import Code
from services.edge.dialects.service_code.secrets import Opener, is_token, text_of
from shared.contract.auth import IdentifierKind, Login, Register
from shared.contract.errors import ErrorCode
from shared.contract.ids import ChatId
from shared.contract.message import GetHistory
from shared.contract.model import Scheme, Secret, Text
from shared.contract.session import ListChatViews, RequestMembership
from shared.settings import Limits

_COUNT = 200
"""Messages of one walk, at most."""
_NAME_CHARACTERS = 8
"""Of its uuid: nobody can tell another nickname here."""
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

Content = dict[str, Any]
_Credential = int | str


class Asked(NamedTuple):
    """A request's context. `push`: a login that asks for pushes."""

    code: Code
    push: bool = False


def request_of(frame: Frame, opener: Opener, limits: Limits) -> Request:
    """The request of a frame on a connection that was opened so. Raises DecodeError."""
    return _plain(frame, opener, limits) or _any_request(frame, opener, limits)


def _any_request(frame: Frame, opener: Opener, limits: Limits) -> Request:
    members = read_object(frame, limits)
    code = integer(members, "service_code")
    content = members.get("content")
    if not isinstance(content, dict):
        raise DecodeError("`content` must be an object")
    if code in (Code.LOGIN, Code.REGISTER):
        return _entrance(Code(code), content)
    reader = _READERS.get(code)
    if reader is None:
        raise DecodeError("`service_code` is none that a client sends")
    return Request(reader(content, limits), Asked(Code(code)), _proof(decode_as(content, _Bearer).token, opener))


# 登录, 注册


class _Entrance(msgspec.Struct):
    id: str
    token: _Credential
    push: bool = False


def _entrance(code: Code, content: Content) -> Request:
    """1 and 2: `token` is the client's own secret or, in a 1, a token that this server gave the account."""
    wire = decode_as(content, _Entrance)
    uuid, text = _uuid(wire.id), text_of(wire.token)
    if not text:
        raise DecodeError("`token` is empty")
    secret, asked = Secret(Scheme.SERVICE, text), Asked(code, wire.push)
    if code is Code.LOGIN:
        login = Login(kind=IdentifierKind.UUID, identifier=uuid, secret=secret)
        return Request(login, asked, text if is_token(text) else "")
    if is_token(text):
        raise DecodeError("a token of this server cannot be somebody's own secret")
    return Request(Register(uuid=uuid, secret=secret, nickname=uuid[:_NAME_CHARACTERS]), asked)


def _uuid(text: str) -> str:
    lower = text.lower()
    if not _UUID.fullmatch(lower):
        raise DecodeError("an `id` must be a UUID")
    return lower


class _Bearer(msgspec.Struct):
    token: _Credential = ""


def _proof(token: _Credential, opener: Opener) -> str:
    """What a request proves itself with; empty for the secret that this connection was opened with."""
    text = text_of(token)
    if not text:
        raise DecodeError("`token` is missing", ErrorCode.UNAUTHENTICATED)
    return "" if opener.is_opened_by(text) else text


# 获取Chat, 接收消息


class _Walk(msgspec.Struct):
    chat: WireId
    index: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    count: Annotated[int, msgspec.Meta(ge=1, le=_COUNT)]


def _get_chat(content: Content, limits: Limits) -> Command:
    """3: from `index`, or the −index-th newest, towards older ones."""
    wire = decode_as(content, _Walk)
    return GetHistory(ChatId(wire.chat.number), wire.index, wire.count)


def _receive(content: Content, limits: Limits) -> Command:
    """9: from `index` (0: the first) towards newer ones, or from the −index-th newest towards older ones."""
    wire = decode_as(content, _Walk)
    older = wire.index < 0
    return GetHistory(ChatId(wire.chat.number), wire.index or 1, wire.count, older=older)


# 收发, 加入群聊, 创建群聊


class _Saying(msgspec.Struct):
    chat: WireId
    msg: str


def _say(content: Content, limits: Limits) -> Command:
    wire = decode_as(content, _Saying)
    return PostMessage(ChatId(wire.chat.number), validation.message_text((Text(wire.msg),), limits))


class _PlainContent(msgspec.Struct):
    chat: int | str
    msg: str
    token: _Credential


class _PlainSaying(msgspec.Struct):
    service_code: Literal[5]
    content: _PlainContent


_PLAIN = Plain(_PlainSaying, lambda wire: 12 + quotes_of(wire.content.chat) + quotes_of(wire.content.token))
_SAYING = Asked(Code.SAY)


def _plain(frame: Frame, opener: Opener, limits: Limits) -> Request | None:
    """A 5, the quick way. Raises DecodeError."""
    wire = _PLAIN.read(frame, limits)
    if wire is None:
        return None
    content = wire.content
    chat = parse_id(content.chat)
    if chat is None or not content.msg:
        return None
    return Request(PostMessage(ChatId(chat), (Text(content.msg),)), _SAYING, _proof(content.token, opener))


class _Joining(msgspec.Struct):
    chat: WireId


def _join(content: Content, limits: Limits) -> Command:
    return RequestMembership(ChatId(decode_as(content, _Joining).chat.number))


class _Member(msgspec.Struct):
    id: str


class _Creation(msgspec.Struct):
    name: str
    is_group: bool
    member: list[_Member]


def _create(content: Content, limits: Limits) -> Command:
    """7: each member is one however often it is named; the creator need not be."""
    wire = decode_as(content, _Creation)
    uuids = tuple(dict.fromkeys(_uuid(member.id) for member in wire.member))
    return CreateChatOf(uuids, wire.name and validation.group_name(wire.name, limits), private=not wire.is_group)


_READERS: Mapping[int, Callable[[Content, Limits], Command]] = {
    Code.GET_CHAT: _get_chat,
    Code.FIND_CHATS: lambda *_: ListChatViews(),
    Code.SAY: _say,
    Code.JOIN: _join,
    Code.CREATE: _create,
    Code.RECEIVE: _receive,
}
