"""pipe, server to client: the frames, character for character. A user's text is a field of its own with its bars
replaced, or the last field, where bars do no harm."""

import re
from collections.abc import Iterable, Mapping

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.pipe.fields import escape
from services.edge.dialects.text_fallback import render_message
from shared.contract.auth import Authenticated
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import File, Image, Profile
from shared.contract.session import ChatView, PendingFriendship, PendingMembership

NAME = "pipe"

_SUCCESSES: Mapping[str, str] = {
    "register": "register_succ|注册成功！",
    "update_profile": "update_profile_succ|修改成功！",
    "forget_passwd": "up_pass_succ|修改成功！",
    "add_friend": "add_friend_succ|已发送请求！",
    "del_friend": "del_friend_succ|删除成功！",
    "join_group": "join_group_succ|已发送请求！",
    "send_message": "send_message_succ|发送成功！",
    "send_file": "send_file_succ|发送成功！",
}
_ORIGIN = re.compile(r"http://(?P<host>\[[0-9A-Fa-f:.]+\]|[^|/:\s]+)(?::(?P<port>[0-9]+))?")
_HTTP_PORT = 80
_DECISIONS = {True: "同意请求！", False: "拒绝请求！"}
_ERROR_WORDS = {"forget_passwd": "up_pass_error", "": "error"}
"""Of the others it is the command's name and `_error`. The empty name stands for frames without a known command."""


def done(command: str) -> bytes:
    return _SUCCESSES[command].encode()


def handled(command: str, accepted: bool) -> bytes:
    return f"{command}_succ|{_DECISIONS[accepted]}".encode()


def error(command: str, reason: str) -> bytes:
    word = _ERROR_WORDS.get(command) or f"{command}_error"
    return f"{word}|{escape(reason)}".encode()


# 1 用户管理


def logged_in(answer: Authenticated, unread: int) -> bytes:
    return f"login_succ|登录成功！|{answer.account}|{answer.token}|{unread}".encode()


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


def group_created(chat: ChatId) -> bytes:
    return f"create_group_succ|{chat}|群组创建成功！".encode()


# 5 服务器消息


def friend_requests(pending: list[PendingFriendship]) -> bytes:
    rows = [f"{one.applicant}|{escape(one.text)}|" for one in pending]
    return f"friend_request|{len(rows)}|{''.join(rows)}".encode()


def group_requests(pending: list[PendingMembership]) -> bytes:
    rows = [f"{one.applicant}|{one.chat}|{escape(one.text)}|" for one in pending]
    return f"group_request|{len(rows)}|{''.join(rows)}".encode()


def pushed_message(shown: DisplayMessage, base_url: str) -> bytes:
    """A message to an online client: a private file has a frame of its own if plain HTTP can fetch it."""
    match shown.segments:
        case (Image(media) | File(media),) if shown.to is not None and (origin := _ORIGIN.fullmatch(base_url)):
            host, port = origin["host"], origin["port"] or _HTTP_PORT
            return f"file|{shown.message.sender}|{host}|{port}|media/{media.id}|{media.size}|".encode()
        case _:
            return message(shown, base_url)


def message(shown: DisplayMessage, base_url: str) -> bytes:
    """In a group the text itself names the sender: pipe's own clients write it there, messages of other dialects get
    the nickname in front."""
    sent, data = shown.message, render_message(shown.segments, base_url)
    seconds = sent.time // 1000
    if shown.to is not None:
        return f"message|0|{sent.sender}|{seconds}|{data}".encode()
    if shown.dialect != NAME:
        data = f"{shown.summary.nickname if shown.summary else sent.sender}: {data}"
    return f"message|1|{sent.chat}|{seconds}|{data}".encode()
