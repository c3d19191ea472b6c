"""pipe: the fields of its frames that hold passwords, tokens and answers."""

from collections.abc import Mapping
from typing import NamedTuple

from services.edge.dialects.base import DecodeError, Mask
from services.edge.dialects.pipe.fields import split_command


class FrameLayout(NamedTuple):
    """Fields after the command: `size` of them, with the `secret` ones among them by their places. `text`: one is free
    text, so that there may be more, and the secret places count from the end (-1: the last)."""

    size: int
    secret: tuple[int, ...] = ()
    text: bool = False


_LAYOUTS: Mapping[str, FrameLayout] = {
    "register": FrameLayout(8, (1, 6)),
    "login": FrameLayout(2, (1,)),
    "update_profile": FrameLayout(7, (1, 6)),
    "forget_passwd": FrameLayout(4, (2, 3)),
    "get_user_info": FrameLayout(3, (2,)),
    "get_user_friend": FrameLayout(2, (1,)),
    "get_user_group": FrameLayout(2, (1,)),
    "get_group_info": FrameLayout(3, (2,)),
    "add_friend": FrameLayout(4, (-1,), text=True),
    "del_friend": FrameLayout(3, (2,)),
    "hand_friend_request": FrameLayout(4, (3,)),
    "create_group": FrameLayout(3, (2,)),
    "join_group": FrameLayout(4, (-1,), text=True),
    "hand_group_request": FrameLayout(4, (3,)),
    "send_message": FrameLayout(6, (-1,), text=True),
    "send_file": FrameLayout(7, (-1,), text=True),
    "get_unread_friend_request": FrameLayout(0),
    "get_unread_group_request": FrameLayout(0),
    "get_unread_message": FrameLayout(1),
    "login_succ": FrameLayout(4, (2,)),
}
_REPLIES = frozenset({
    "userinfo", "friend_detail_info", "friendinfo", "groupinfo", "friend_request", "group_request", "message", "file",
    "error",
})  # fmt: skip
_REPLY_ENDINGS = ("_succ", "_error")


def mask_fields(frame: bytes, mask: Mask) -> bytes | None:
    """See Dialect.mask_secrets. Of a known command with other fields than it has, all fields are one secret."""
    try:
        command, rest = split_command(frame)
    except DecodeError:
        return None
    layout = _LAYOUTS.get(command)
    if layout is None:
        return frame if command in _REPLIES or command.endswith(_REPLY_ENDINGS) else None
    fields = rest.rstrip("|").split("|") if layout.text else _fields(rest, layout.size)
    if len(fields) != layout.size and not (layout.text and len(fields) > layout.size):
        return f"{command}|{mask(rest)}".encode() if rest else frame
    for place in layout.secret:
        fields[place] = fields[place] and mask(fields[place])
    return "|".join([command, *fields]).encode() if layout.secret else frame


def _fields(rest: str, count: int) -> list[str]:
    """Bars after the last field are ignored."""
    fields = rest.split("|") if rest else []
    while len(fields) > count and not fields[-1]:
        fields.pop()
    return fields
