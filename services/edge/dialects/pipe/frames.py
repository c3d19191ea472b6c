"""The frames of the dialect pipe. For each command, one reader makes a canonical command from the fields after its
name. Frames to clients are written character for character. In a user's text, bars are replaced, except in the last
field, where they cause no error."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from services.edge.canonical.commands import Command, FetchUnread, PostMessage, UpdateAccount
from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects import credentials, validation
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.pipe import fields
from services.edge.dialects.pipe.fields import escape
from services.edge.dialects.pipe.uploads import Chunk, ChunkedUploads, decode_data, parse_chunk_name
from services.edge.dialects.text_fallback import render_message
from shared.contract.auth import Authenticated, IdentifierKind, Login, Register
from shared.contract.contacts import (
    AnswerFriendship,
    EndFriendship,
    ListRequests,
    PendingFriendship,
    PendingMembership,
    RequestFriendship,
)
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import AnswerMembership, RequestMembership
from shared.contract.model import File, Image, JoinPolicy, Profile, Scheme, Secret, Text
from shared.contract.recovery import Recover, SetSecurity
from shared.contract.session import ChatView, CreateChat, GetAccount, GetChat, ListChatViews, SetProfile
from shared.setting_types import Language
from shared.settings.limits import FrameLimits


class ChunkRequest(NamedTuple):
    """A request with a file or a chunk of a file. Which command it becomes depends on the earlier chunks."""

    chunk: Chunk
    token: str
    account: AccountId


def request_of(frame: Frame, account: AccountId, limits: FrameLimits, uploads: ChunkedUploads) -> Request:
    """Decode a frame on a connection of this account. The context of the request is the command's name. Raises
    DecodeError, with the same context if the command exists."""
    if isinstance(frame, Binary):
        raise DecodeError("a text frame is expected")
    name, rest = fields.split_command(frame)
    reader = READERS.get(name)
    if reader is None:
        raise DecodeError("there is no such command")
    try:
        if len(frame) > limits.text_frame_bytes:
            raise DecodeError(f"a frame has at most {limits.text_frame_bytes} bytes", ErrorCode.TOO_LARGE)
        if "\0" in rest:
            raise DecodeError("the frame holds U+0000")
        request = reader(rest, limits)
        _check_own(request, account)
        if isinstance(request, ChunkRequest):
            request = Request(uploads.chunk(request.chunk), token=request.token, account=request.account)
    except DecodeError as error:
        error.context = name
        raise
    return Request(request.command, name, request.token, request.account)


def command_name(frame: Frame) -> str | None:
    """The name of the command in a frame, or None if there is no such command."""
    if isinstance(frame, Binary):
        return None
    try:
        name, _ = fields.split_command(frame)
    except DecodeError:
        return None
    return name if name in READERS else None


def _check_own(request: Request | ChunkRequest, account: AccountId) -> None:
    """Check that a frame names no other account than the connection's. (Before the login, the token decides the
    account.)"""
    if account != NO_ACCOUNT and request.account not in (NO_ACCOUNT, account):
        raise DecodeError("that uid is not the account of this connection", ErrorCode.FORBIDDEN)


# 1 用户管理


def _register(rest: str, limits: FrameLimits) -> Request:
    username, password, nickname, icon, signature, question, answer, vip = fields.split_fields(rest, 8)
    register = Register(
        secret=_password(password),
        nickname=validation.nickname(nickname, limits),
        username=_username(username),
        question_id=fields.number(question),
        answer=answer,
        icon_id=fields.number(icon),
        signature=signature,
        vip=fields.number(vip),
    )
    return Request(register)


def _login(rest: str, limits: FrameLimits) -> Request:
    username, password = fields.split_fields(rest, 2)
    return Request(Login(kind=IdentifierKind.ANY, identifier=_username(username), secret=_password(password)))


def _update_profile(rest: str, limits: FrameLimits) -> Request:
    """An empty security answer keeps the old answer."""
    uid, token, nickname, icon, signature, question, answer = fields.split_fields(rest, 7)
    me = _account(uid)
    profile = SetProfile(
        me, nickname=validation.nickname(nickname, limits), icon_id=fields.number(icon), signature=signature
    )
    security = SetSecurity(fields.number(question), answer)
    return Request(UpdateAccount(profile, security) if answer else profile, token=fields.token(token), account=me)


def _forget_passwd(rest: str, limits: FrameLimits) -> Request:
    username, question, answer, password = fields.split_fields(rest, 4)
    recover = Recover(
        username=_username(username), question_id=fields.number(question), answer=answer, secret=_password(password)
    )
    return Request(recover)


def _username(field: str) -> str:
    if not field:
        raise DecodeError("the username is empty")
    return field


def _password(field: str) -> Secret:
    return credentials.password(field, Scheme.MD5)


def _of_account(count: int, command: Callable[..., Command]) -> Callable[[str, FrameLimits], Request]:
    """Make a reader for frames of an account: its number, then `count` fields for the command, then its token."""

    def read(rest: str, limits: FrameLimits) -> Request:
        uid, *between, token = fields.split_fields(rest, count + 2)
        return Request(command(*between), token=fields.token(token), account=_account(uid))

    return read


def _get_user_friend(rest: str, limits: FrameLimits) -> Request:
    uid, token = fields.split_fields(rest, 2)
    me = _account(uid)
    return Request(GetAccount(me, lists=True), token=fields.token(token), account=me)


# 2 好友管理


def _add_friend(rest: str, limits: FrameLimits) -> Request:
    (uid, other), text, (token,) = fields.split_around_text(rest, 2, 1)
    return Request(RequestFriendship(_account(other), text), token=fields.token(token), account=_account(uid))


# 3 群组管理


def _create_group(rest: str, limits: FrameLimits) -> Request:
    uid, name, token = fields.split_fields(rest, 3)
    command = CreateChat([], validation.group_name(name, limits), join_policy=JoinPolicy.APPROVAL)
    return Request(command, token=fields.token(token), account=_account(uid))


def _join_group(rest: str, limits: FrameLimits) -> Request:
    (uid, group), text, (token,) = fields.split_around_text(rest, 2, 1)
    return Request(RequestMembership(_chat(group), text), token=fields.token(token), account=_account(uid))


def _hand_group_request(rest: str, limits: FrameLimits) -> Request:
    """The account uid1 is the applicant. The token belongs to the account that answers."""
    applicant, group, accepted, token = fields.split_fields(rest, 4)
    command = AnswerMembership(_chat(group), _account(applicant), fields.flag(accepted))
    return Request(command, token=fields.token(token))


# 4 消息处理


def _send_message(rest: str, limits: FrameLimits) -> Request:
    """The time in the frame is ignored, because the server's clock decides."""
    (kind, uid, recipient, _), text, (token,) = fields.split_around_text(rest, 4, 1)
    segments = validation.message_text((Text(text),), limits)
    if fields.flag(kind):
        command = PostMessage(_chat(recipient), segments)
    else:
        command = PostMessage(ChatId(0), segments, _account(recipient))
    return Request(command, token=fields.token(token), account=_account(uid))


def _send_file(rest: str, limits: FrameLimits) -> ChunkRequest:
    """Type 0 is a picture, and type 1 is a file. The recipient uid2 is an account."""
    (kind, uid, recipient, _), field, (data, token) = fields.split_around_text(rest, 4, 2)
    chunk = Chunk(
        "file" if fields.flag(kind) else "image", _account(recipient), *parse_chunk_name(field), decode_data(data)
    )
    return ChunkRequest(chunk, fields.token(token), _account(uid))


# 5 服务器消息


def _get_unread_request(rest: str, limits: FrameLimits) -> Request:
    fields.split_fields(rest, 0)
    return Request(ListRequests())


def _get_unread_message(rest: str, limits: FrameLimits) -> Request:
    (count,) = fields.split_fields(rest, 1)
    return Request(FetchUnread(fields.number(count) if count else None))


def _account(field: str) -> AccountId:
    return AccountId(fields.parse_id_field(field))


def _chat(field: str) -> ChatId:
    return ChatId(fields.parse_id_field(field))


READERS: Mapping[str, Callable[[str, FrameLimits], Request | ChunkRequest]] = {
    "register": _register,
    "login": _login,
    "update_profile": _update_profile,
    "forget_passwd": _forget_passwd,
    "get_user_info": _of_account(1, lambda other: GetAccount(_account(other))),
    "get_user_friend": _get_user_friend,
    "get_user_group": _of_account(0, ListChatViews),
    "get_group_info": _of_account(1, lambda group: GetChat(_chat(group))),
    "add_friend": _add_friend,
    "del_friend": _of_account(1, lambda other: EndFriendship(_account(other))),
    # The account uid1 answers the request of the account uid2.
    "hand_friend_request": _of_account(
        2, lambda applicant, accepted: AnswerFriendship(_account(applicant), fields.flag(accepted))
    ),
    "create_group": _create_group,
    "join_group": _join_group,
    "hand_group_request": _hand_group_request,
    "send_message": _send_message,
    "send_file": _send_file,
    "get_unread_friend_request": _get_unread_request,
    "get_unread_group_request": _get_unread_request,
    "get_unread_message": _get_unread_message,
}

# Frames to clients

NAME = "pipe"

_SUCCESSES: Mapping[str, Mapping[Language, str]] = {
    "register": {"zh": "register_succ|注册成功！", "en": "register_succ|Registered."},
    "update_profile": {"zh": "update_profile_succ|修改成功！", "en": "update_profile_succ|Changed."},
    "forget_passwd": {"zh": "up_pass_succ|修改成功！", "en": "up_pass_succ|Changed."},
    "add_friend": {"zh": "add_friend_succ|已发送请求！", "en": "add_friend_succ|Request sent."},
    "del_friend": {"zh": "del_friend_succ|删除成功！", "en": "del_friend_succ|Removed."},
    "join_group": {"zh": "join_group_succ|已发送请求！", "en": "join_group_succ|Request sent."},
    "send_message": {"zh": "send_message_succ|发送成功！", "en": "send_message_succ|Sent."},
    "send_file": {"zh": "send_file_succ|发送成功！", "en": "send_file_succ|Sent."},
}
_ORIGIN = re.compile(r"http://(?P<host>\[[0-9A-Fa-f:.]+\]|[^|/:\s]+)(?::(?P<port>[0-9]+))?")
_HTTP_PORT = 80
_DECISIONS: Mapping[bool, Mapping[Language, str]] = {
    True: {"zh": "同意请求！", "en": "Accepted."},
    False: {"zh": "拒绝请求！", "en": "Rejected."},
}
_LOGGED_IN: Mapping[Language, str] = {"zh": "登录成功！", "en": "Logged in."}
_GROUP_CREATED: Mapping[Language, str] = {"zh": "群组创建成功！", "en": "Group created."}
_ERROR_WORDS = {"forget_passwd": "up_pass_error", "": "error"}
"""The error words of these commands. For every other command, the word is the command's name and `_error`. The entry
with the empty name is for frames without a known command."""


def done(command: str, language: Language = "zh") -> bytes:
    return _SUCCESSES[command][language].encode()


def handled(command: str, accepted: bool, language: Language) -> bytes:
    return f"{command}_succ|{_DECISIONS[accepted][language]}".encode()


def error(command: str, reason: str) -> bytes:
    word = _ERROR_WORDS.get(command) or f"{command}_error"
    return f"{word}|{escape(reason)}".encode()


# 1 用户管理


def logged_in(answer: Authenticated, unread: int, language: Language = "zh") -> bytes:
    return f"login_succ|{_LOGGED_IN[language]}|{answer.account}|{answer.token}|{unread}".encode()


def profile(of: Profile, own: bool) -> bytes:
    word = "userinfo" if own else "friend_detail_info"
    return f"{word}|{escape(of.nickname)}|{of.icon_id}|{escape(of.signature)}".encode()


def friends(accounts: Iterable[AccountId]) -> bytes:
    return _counted("friendinfo", accounts)


def groups(chats: Iterable[ChatId]) -> bytes:
    return _counted("groupinfo", chats)


def group(view: ChatView) -> bytes:
    return _counted(f"groupinfo|{view.chat.id}|{escape(view.chat.name)}", view.members)


def _counted(head: str, numbers: Iterable[int]) -> bytes:
    listed = list(numbers)
    return "|".join([head, *map(str, (len(listed), *listed))]).encode()


# 3 群组管理


def group_created(chat: ChatId, language: Language) -> bytes:
    return f"create_group_succ|{chat}|{_GROUP_CREATED[language]}".encode()


# 5 服务器消息


def friend_requests(pending: list[PendingFriendship]) -> bytes:
    rows = [f"{one.applicant}|{escape(one.text)}|" for one in pending]
    return f"friend_request|{len(rows)}|{''.join(rows)}".encode()


def group_requests(pending: list[PendingMembership]) -> bytes:
    rows = [f"{one.applicant}|{one.chat}|{escape(one.text)}|" for one in pending]
    return f"group_request|{len(rows)}|{''.join(rows)}".encode()


def pushed_message(shown: DisplayMessage, base_url: str, language: Language) -> bytes:
    """A message to an online client. A picture or file of a private chat has its own kind of frame, if it is served by
    plain HTTP."""
    match shown.segments:
        case (Image(media) | File(media),) if shown.to is not None and (origin := _ORIGIN.fullmatch(base_url)):
            host, port = origin["host"], origin["port"] or _HTTP_PORT
            return f"file|{shown.message.sender}|{host}|{port}|media/{media.id}|{media.size}|".encode()
        case _:
            return message(shown, base_url, language)


def message(shown: DisplayMessage, base_url: str, language: Language = "zh") -> bytes:
    """A message. In a group, the text itself names the sender. pipe's own clients write the name into the text. In
    messages of other dialects, the nickname is put before the text."""
    sent, data = shown.message, render_message(shown.segments, base_url, language)
    seconds = sent.time // 1000
    if shown.to is not None:
        return f"message|0|{sent.sender}|{seconds}|{data}".encode()
    if shown.dialect != NAME:
        data = f"{shown.summary.nickname if shown.summary else sent.sender}: {data}"
    return f"message|1|{sent.chat}|{seconds}|{data}".encode()
