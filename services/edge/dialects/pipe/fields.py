"""The form of a pipe frame: fields that are separated by bars. The first field names the command. At most one field is
free text, which may contain bars. In such a frame, the other fields are counted from both ends."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from services.edge.dialects.base import DecodeError, Mask
from services.edge.dialects.wire_ids import parse_id
from shared.contract.errors import ErrorCode

_LINE_BREAKS = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


def split_command(frame: bytes) -> tuple[str, str]:
    """Return the command, and the text after its bar. Raises DecodeError."""
    try:
        text = frame.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("not UTF-8") from error
    command, _, rest = text.lstrip().rstrip("\r\n").partition("|")
    return command, rest


def split_fields(rest: str, count: int) -> list[str]:
    """Split into exactly `count` fields, on one line. Bars after the last field are ignored. Raises DecodeError."""
    fields = rest.split("|")
    while len(fields) > count and not fields[-1]:
        fields.pop()
    if len(fields) != count:
        raise DecodeError(f"{count} fields are expected")
    _check_lines(fields)
    return fields


def split_around_text(rest: str, before: int, after: int) -> tuple[list[str], str, list[str]]:
    """Return the fields before the free text, the free text, and the fields after it. Raises DecodeError."""
    fields = rest.rstrip("|").split("|")
    end = len(fields) - after
    if end <= before:
        raise DecodeError(f"{before + 1 + after} fields are expected")
    first, last = fields[:before], fields[end:]
    _check_lines(first + last)
    return first, "|".join(fields[before:end]), last


def parse_id_field(field: str) -> int:
    """Return the id of an account or a group. Raises DecodeError."""
    number = parse_id(field)
    if number is None:
        raise DecodeError("a number of a person or a group is expected")
    return number


def number(field: str) -> int:
    """Return a number that is 0 or more. Raises DecodeError."""
    if not _DIGITS.fullmatch(field):
        raise DecodeError("a number is expected")
    return int(field)


def flag(field: str) -> bool:
    if field not in ("0", "1"):
        raise DecodeError("0 or 1 is expected")
    return field == "1"


def token(field: str) -> str:
    if not field:
        raise DecodeError("the token is missing", ErrorCode.UNAUTHENTICATED)
    return field


def escape(text: str) -> str:
    """Turn a text into a field without bars and line breaks."""
    return _LINE_BREAKS.sub(" ", text.replace("|", "｜"))


def _check_lines(fields: list[str]) -> None:
    if _LINE_BREAKS.search("|".join(fields)):
        raise DecodeError("a field holds a line break")


class FrameLayout(NamedTuple):
    """How many fields follow the command (`size`), and which of them are secret (`secret`). `text`: whether one field
    is free text. If so, a frame may have more fields, and the places in `secret` are counted from the end (-1 is the
    last field)."""

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
    """See Dialect.mask_secrets. If a known command has a wrong number of fields, all its fields are masked as one
    secret."""
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
    """Split into fields. Bars after the last field are ignored."""
    fields = rest.split("|") if rest else []
    while len(fields) > count and not fields[-1]:
        fields.pop()
    return fields
