"""The frames of OurChat v1, under the headings of the protocol's document. For each code that clients send, one reader
makes a command from the frame's `data`. Frames to clients are written byte for byte. Each has a `time` in whole Unix
seconds, and all numbers are integers. Errors of registration and login have states of their own. Every other error has
code 18.

The `time` of a frame is ignored, because the server's clock decides. If two keys exclude each other, a client may send
the unused key as null.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Frame
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects import credentials, validation
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.json_frames import WireId, count_quotes, decode_as
from services.edge.dialects.ourchat_envelope import (
    UNEXPLAINED,
    WRONG_LOGIN,
    ErrorReply,
    Members,
    check_own_account,
    error_reply,
    login_command,
    read_envelope,
    reader_of,
)
from services.edge.dialects.text_fallback import render_message
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import Authenticated, IdentifierKind, Login, Register
from shared.contract.contacts import AnswerFriendship, RequestFriendship
from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import AddMember, AnswerMembership, RequestMembership
from shared.contract.model import JoinPolicy, Text
from shared.contract.session import CreateChat, RenameChat, SetProfile
from shared.setting_types import Language
from shared.settings.limits import FrameLimits


class V1Code(IntEnum):
    MESSAGE = 0
    """文本信息, both ways. (1 to 3 are reserved for emoji, pictures and files.)"""
    REGISTER = 4
    REGISTERED = 5
    """注册信息 and its reply."""
    LOGIN = 6
    LOGGED_IN = 7
    """登录信息 and its reply."""
    NEW_GROUP = 8
    """建群请求 (request to make a group). Its reply has code 10."""
    APPLY = 9
    """申请加入群聊/添加好友, both ways."""
    ACCEPT = 10
    """被拉入群聊/通过加入群聊申请/通过好友申请, both ways."""
    REJECT = 11
    """拒绝加入群聊申请/好友申请, both ways."""
    RENAME = 12
    """修改群名/用户昵称, both ways."""
    ERROR = 18
    """An error for which the document has no state. This code is not in the document."""


ERROR_REPLIES: Mapping[object, ErrorReply] = {
    # 1 服务器错误, 2 邮箱重复
    Register: error_reply(V1Code.REGISTERED, 1, {**UNEXPLAINED, ErrorCode.CONFLICT: 2}),
    # 1 账号或密码不正确, 2 服务器错误
    Login: error_reply(V1Code.LOGGED_IN, 2, {**UNEXPLAINED, **WRONG_LOGIN}),
}
"""The error replies by the type of the command."""


def request_of(frame: Frame, account: AccountId, limits: FrameLimits) -> Request:
    """Decode a frame on a connection of this account. Raises DecodeError."""
    return _fast_request(frame, account, limits) or _any_request(frame, account, limits)


def _any_request(frame: Frame, account: AccountId, limits: FrameLimits) -> Request:
    code, data = read_envelope(frame, limits)
    return reader_of(_READERS, code)(data, account, limits)


def _check_either(group: WireId | None, account: WireId | None, names: str) -> None:
    if (group is None) == (account is None):
        raise DecodeError(f"exactly one of {names} is needed")


# 文本信息


class _V1SenderBody(msgspec.Struct):
    ocid: WireId
    group_id: WireId | None = None
    private_id: WireId | None = None


class _V1MessageBody(msgspec.Struct):
    sender: _V1SenderBody
    msg: str


def _message(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 0, a message to a group or to the account `private_id`."""
    wire = decode_as(data, _V1MessageBody)
    sender = wire.sender
    check_own_account(sender.ocid, "sender.ocid", account)
    _check_either(sender.group_id, sender.private_id, "`group_id`, `private_id`")
    segments = validation.message_text((Text(wire.msg),), limits)
    if sender.group_id is not None:
        return Request(PostMessage(ChatId(sender.group_id.number), segments))
    assert sender.private_id is not None
    return Request(PostMessage(ChatId(0), segments, to=AccountId(sender.private_id.number)))


class _V1FastSender(msgspec.Struct, frozen=True, gc=False):
    ocid: int | str
    group_id: int | str


class _V1FastText(msgspec.Struct, frozen=True, gc=False):
    sender: _V1FastSender
    msg: str


class _V1FastMessage(msgspec.Struct, frozen=True, gc=False):
    code: Literal[0]
    time: float
    data: _V1FastText


_FAST_READER = FastReader(
    _V1FastMessage, lambda wire: 16 + count_quotes(wire.data.sender.ocid) + count_quotes(wire.data.sender.group_id)
)


def _fast_request(frame: Frame, account: AccountId, limits: FrameLimits) -> Request | None:
    """Read a frame 0 to a group, by the fast path."""
    wire = _FAST_READER.read(frame, limits)
    if wire is None:
        return None
    sender, text = wire.data.sender, wire.data.msg
    group = parse_id(sender.group_id)
    if group is None or not text or account == NO_ACCOUNT or parse_id(sender.ocid) != account:
        return None
    return Request(PostMessage(ChatId(group), (Text(text),)))


# 注册信息, 登录信息


class _V1RegisterBody(msgspec.Struct):
    email: str
    password: str
    name: str


def _register(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 4, which must have all three members."""
    wire = decode_as(data, _V1RegisterBody)
    nickname, email = validation.nickname(wire.name, limits), credentials.email(wire.email)
    return Request(Register(secret=credentials.password(wire.password), nickname=nickname, email=email))


class _V1LoginBody(msgspec.Struct):
    account: str | int
    password: str


def _login(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 6. `account` is an OC number if it is a number, and an e-mail address otherwise."""
    wire = decode_as(data, _V1LoginBody)
    kind = IdentifierKind.EMAIL if parse_id(wire.account) is None else IdentifierKind.ID
    return Request(login_command(kind, wire.account, wire.password))


# 建群请求


class _NewGroupBody(msgspec.Struct):
    ocid: WireId
    group_name: str | int


def _new_group(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 8, which creates a group. Accounts can apply to join the group. (In the document's table, the names
    have the type of numbers.)"""
    wire = decode_as(data, _NewGroupBody)
    check_own_account(wire.ocid, "ocid", account)
    name = validation.group_name(str(wire.group_name), limits)
    return Request(CreateChat(members=[], name=name, join_policy=JoinPolicy.APPROVAL))


# 申请, 通过, 拒绝


class _RelationBody(msgspec.Struct):
    """`ocid` is the applicant, or the account that is added to a group. `add_ocid` is the account that the applicant
    wants as a friend."""

    ocid: WireId
    group_id: WireId | None = None
    add_ocid: WireId | None = None


def _apply(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 9, which is an application to a group, or a friend request."""
    wire = decode_as(data, _RelationBody)
    check_own_account(wire.ocid, "ocid", account)
    _check_either(wire.group_id, wire.add_ocid, "`group_id`, `add_ocid`")
    if wire.group_id is not None:
        return Request(RequestMembership(ChatId(wire.group_id.number)))
    assert wire.add_ocid is not None
    return Request(RequestFriendship(AccountId(wire.add_ocid.number)))


def _accept(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 10, which adds an applicant or a friend to a group, or accepts a friend request to this account."""
    wire = decode_as(data, _RelationBody)
    _check_either(wire.group_id, wire.add_ocid, "`group_id`, `add_ocid`")
    applicant = AccountId(wire.ocid.number)
    if wire.group_id is not None:
        return Request(AddMember(ChatId(wire.group_id.number), applicant))
    assert wire.add_ocid is not None
    check_own_account(wire.add_ocid, "add_ocid", account)
    return Request(AnswerFriendship(applicant, accept=True))


def _reject(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 11, which rejects an application to the named group or, without a group, a friend request to this
    account."""
    wire = decode_as(data, _RelationBody)
    applicant = AccountId(wire.ocid.number)
    if wire.group_id is not None:
        return Request(AnswerMembership(ChatId(wire.group_id.number), applicant, accept=False))
    if wire.add_ocid is not None:
        check_own_account(wire.add_ocid, "add_ocid", account)
    return Request(AnswerFriendship(applicant, accept=False))


# 修改群名/用户昵称


class _RenameBody(msgspec.Struct):
    group_id: WireId | None = None
    ocid: WireId | None = None
    name: str | None = None
    group_name: str | None = None


def _rename(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 12, which renames the named group or, without a group, this account. The new name is in `name` in
    the document's example, and in `group_name` in its table."""
    wire = decode_as(data, _RenameBody)
    name = wire.group_name if wire.name is None else wire.name
    if name is None:
        raise DecodeError("`name` is needed")
    if wire.ocid is not None:
        check_own_account(wire.ocid, "ocid", account)
    if wire.group_id is not None:
        return Request(RenameChat(ChatId(wire.group_id.number), validation.group_name(name, limits)))
    if wire.ocid is None:
        raise DecodeError("`group_id` or `ocid` is needed")
    return Request(SetProfile(account, nickname=validation.nickname(name, limits)))


_READERS: Mapping[int, Callable[[Members, AccountId, FrameLimits], Request]] = {
    V1Code.MESSAGE: _message,
    V1Code.REGISTER: _register,
    V1Code.LOGIN: _login,
    V1Code.NEW_GROUP: _new_group,
    V1Code.APPLY: _apply,
    V1Code.ACCEPT: _accept,
    V1Code.REJECT: _reject,
    V1Code.RENAME: _rename,
}

# Frames to clients

_encode = msgspec.json.Encoder().encode


class _V1SenderMember(msgspec.Struct):
    """`private_id` is the recipient, also in the frame that the sender gets."""

    ocid: int
    group_id: int | UnsetType = UNSET
    private_id: int | UnsetType = UNSET


class _V1Text(msgspec.Struct):
    """A message. Its `cid` is the id of the message."""

    cid: int
    sender: _V1SenderMember
    msg: str


class _V1Message(msgspec.Struct):
    """文本信息."""

    code: int
    time: int
    data: _V1Text


def message(shown: DisplayMessage, base_url: str, language: Language = "zh") -> bytes:
    sent = shown.message
    private = UNSET if shown.to is None else shown.to
    sender = _V1SenderMember(sent.sender, sent.chat if shown.to is None else UNSET, private)
    text = render_message(shown.segments, base_url, language)
    return _encode(_V1Message(0, sent.time // 1000, _V1Text(sent.id, sender, text)))


def _frame(code: int, time: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "time": time, "data": data})


def registered(answer: Authenticated, time: int) -> bytes:
    """Encode 注册返回信息. Its token is also valid for uploads, downloads and other dialects."""
    return _frame(V1Code.REGISTERED, time, {"state": 0, "ocId": answer.account, "token": answer.token})


def logged_in(answer: Authenticated, time: int) -> bytes:
    """登录返回信息."""
    return _frame(V1Code.LOGGED_IN, time, {"state": 0, "ocid": answer.account, "token": answer.token})


def state(code: int, state: int, details: str, time: int) -> bytes:
    """The reply to a registration or login that failed. `details` are not in the document."""
    return _frame(code, time, {"state": state, "details": details})


def error(details: str, time: int) -> bytes:
    return _frame(V1Code.ERROR, time, {"details": details})


def event_frame(event: Event, time: int) -> bytes | None:
    """The frame of an event, or None if the protocol has none. Even the rejection of a friend request names the account
    that has answered."""
    match event:
        case FriendshipRequested(applicant, account, text):
            return _frame(V1Code.APPLY, time, {"add_ocid": account, "ocid": applicant} | _text_member(text))
        case FriendshipAnswered(applicant, account, accepted):
            code = V1Code.ACCEPT if accepted else V1Code.REJECT
            return _frame(code, time, {"add_ocid": account, "ocid": applicant})
        case MembershipApplied(applicant, chat, text):
            return _frame(V1Code.APPLY, time, {"group_id": chat, "ocid": applicant} | _text_member(text))
        case MembershipAnswered(chat, name, account, accepted=True):
            return in_group(chat, name, account, time)
        case MembershipAnswered(chat, account=account):
            return _frame(V1Code.REJECT, time, {"group_id": chat, "ocid": account})
        case ChatRenamed(chat, name, by):
            return _frame(V1Code.RENAME, time, {"group_id": chat, "ocid": by} | _name_members(name))
        case ProfileChanged(profile, renamed=True):
            return _frame(V1Code.RENAME, time, {"ocid": profile.id} | _name_members(profile.nickname))
    return None


def in_group(chat: ChatId, name: str, account: AccountId, time: int) -> bytes:
    """The account is in this group, because it was accepted or added, or has created the group."""
    return _frame(V1Code.ACCEPT, time, {"group_id": chat, "group_name": name, "ocid": account})


def _name_members(name: str) -> dict[str, object]:
    """The name under two keys, because the document's example has one key and its table has the other."""
    return {"name": name, "group_name": name}


def _text_member(text: str) -> dict[str, object]:
    """The text that an applicant has written in another dialect. The protocol's document has no such text."""
    return {"text": text} if text else {}
