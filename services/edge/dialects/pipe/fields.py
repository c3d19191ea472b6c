"""A frame of pipe: fields separated by bars; the first names the command. At most one of them is free text, which may
hold bars: then the others are counted from both ends."""

import re

from services.edge.dialects.base import DecodeError
from services.edge.dialects.wire_ids import parse_id
from shared.contract.errors import ErrorCode

_LINE_BREAKS = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


def split_command(frame: bytes) -> tuple[str, str]:
    """The command, and the text after its bar. Raises DecodeError."""
    try:
        text = frame.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("not UTF-8") from error
    command, _, rest = text.lstrip().rstrip("\r\n").partition("|")
    return command, rest


def split_fields(rest: str, count: int) -> list[str]:
    """Exactly `count` fields, on one line; bars after the last are ignored. Raises DecodeError."""
    fields = rest.split("|")
    while len(fields) > count and not fields[-1]:
        fields.pop()
    if len(fields) != count:
        raise DecodeError(f"{count} fields are expected")
    _check_lines(fields)
    return fields


def split_around_text(rest: str, before: int, after: int) -> tuple[list[str], str, list[str]]:
    """The fields before the free text, the text, the fields after it. Raises DecodeError."""
    fields = rest.rstrip("|").split("|")
    end = len(fields) - after
    if end <= before:
        raise DecodeError(f"{before + 1 + after} fields are expected")
    first, last = fields[:before], fields[end:]
    _check_lines(first + last)
    return first, "|".join(fields[before:end]), last


def parse_id_field(field: str) -> int:
    """The id of an account or a group. Raises DecodeError."""
    number = parse_id(field)
    if number is None:
        raise DecodeError("a number of a person or a group is expected")
    return number


def number(field: str) -> int:
    """0 or more. Raises DecodeError."""
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
    """A text as a field among others: without bars and line breaks."""
    return _LINE_BREAKS.sub(" ", text.replace("|", "｜"))


def _check_lines(fields: list[str]) -> None:
    if _LINE_BREAKS.search("|".join(fields)):
        raise DecodeError("a field holds a line break")
