"""The dialect pipe, server to client: the frames, character for character. In a user's text, bars are replaced, except
in the last field, where they cause no error."""

import re
from collections.abc import Iterable, Mapping

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.pipe.fields import escape
from services.edge.dialects.text_fallback import render_message
from shared.contract.auth import Authenticated
from shared.contract.contacts import PendingFriendship, PendingMembership
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import File, Image, Profile
from shared.contract.session import ChatView
from shared.setting_types import Language

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


def handled(command: str, accepted: bool, language: Language = "zh") -> bytes:
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


def group_created(chat: ChatId, language: Language = "zh") -> bytes:
    return f"create_group_succ|{chat}|{_GROUP_CREATED[language]}".encode()


# 5 服务器消息


def friend_requests(pending: list[PendingFriendship]) -> bytes:
    rows = [f"{one.applicant}|{escape(one.text)}|" for one in pending]
    return f"friend_request|{len(rows)}|{''.join(rows)}".encode()


def group_requests(pending: list[PendingMembership]) -> bytes:
    rows = [f"{one.applicant}|{one.chat}|{escape(one.text)}|" for one in pending]
    return f"group_request|{len(rows)}|{''.join(rows)}".encode()


def pushed_message(shown: DisplayMessage, base_url: str, language: Language = "zh") -> bytes:
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
