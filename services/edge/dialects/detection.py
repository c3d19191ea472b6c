"""Detects the dialect of a connection from its first text frame, by fixed rules in a fixed order.

Real clients dial without a path or a subprotocol. The rules also name dialects that this edge has not enabled, so that
another dialect never gets their frames. JSON is read leniently here: the dialect itself reports what is wrong.
"""

import json

from services.edge.dialects.base import FirstFrame

PIPE_COMMANDS = frozenset({
    "register", "login", "update_profile", "forget_passwd", "get_user_info", "get_user_friend", "get_user_group",
    "get_group_info", "add_friend", "del_friend", "hand_friend_request", "create_group", "join_group",
    "hand_group_request", "send_message", "send_file", "get_unread_friend_request", "get_unread_group_request",
    "get_unread_message",
})  # fmt: skip

_LOGIN_CODES = (4, 6)
"""Registration and login in every OurChat dialect."""
_V0_KEYS = frozenset({"mail", "nick", "ocId"})
_V1_KEYS = frozenset({"email", "account"})


def read_first_frame(frame: bytes) -> FirstFrame:
    text = frame.decode(errors="replace").strip()
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return FirstFrame(text, None)
    return FirstFrame(text, value if isinstance(value, dict) else None)


def dialect_of(first: FirstFrame) -> str | None:
    """The name of the dialect by the fixed rules, if one matches."""
    members = first.members
    if members is None:
        command, bar, _ = first.text.partition("|")
        return "pipe" if bar and command in PIPE_COMMANDS else None
    if "service_code" in members:
        return "service"
    if "op" in members:
        return "native"
    return _ourchat(members) if "code" in members else None


def _ourchat(members: dict[str, object]) -> str | None:
    code, data = members["code"], members.get("data")
    if isinstance(data, dict):
        if code in _LOGIN_CODES and data.keys() & _V0_KEYS:
            return "ourchat-v0"
        if code in _LOGIN_CODES and data.keys() & _V1_KEYS:
            return "ourchat-v1"
        if "time" in members:
            return "ourchat-v1"
        if code != 19:
            return "ourchat-v0"
    return "ourchat-v2" if type(code) is int else None
