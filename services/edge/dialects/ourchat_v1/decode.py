"""OurChat v1, client to server. For each code, one reader makes a command from the frame's `data`.

The `time` of a frame is ignored, because the server's clock decides. If two keys exclude each other, a client may send
the unused key as null.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.frames import Frame
from services.edge.dialects import credentials, validation
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.json_frames import WireId, count_quotes, decode_as
from services.edge.dialects.ourchat_envelope import Members, check_own_account, login_command, read_envelope
from services.edge.dialects.ourchat_v1.codes import V1Code
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import IdentifierKind, Register
from shared.contract.contacts import AnswerFriendship, RequestFriendship
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import AddMember, AnswerMembership, RequestMembership
from shared.contract.model import JoinPolicy, Text
from shared.contract.session import CreateChat, RenameChat, SetProfile
from shared.settings.limits import FrameLimits

_QUOTED_CHARACTERS = 64


def request_of(frame: Frame, account: AccountId, limits: FrameLimits) -> Request:
    """Decode a frame on a connection of this account. Raises DecodeError."""
    return _fast_request(frame, account, limits) or _any_request(frame, account, limits)


def _any_request(frame: Frame, account: AccountId, limits: FrameLimits) -> Request:
    code, data = read_envelope(frame, limits)
    reader = _READERS.get(code)
    if reader is None:
        raise DecodeError(f"code {code} is not one that clients send"[:_QUOTED_CHARACTERS])
    return reader(data, account, limits)


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
