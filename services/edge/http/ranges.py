"""Parses HTTP range requests (RFC 9110, section 14); pure."""

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """The range contains no byte of the file."""


class ByteRange(NamedTuple):
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


def parse_range(header: str, size: int) -> ByteRange | None:
    """The range of a Range header. None, for the whole file, if it is invalid or has several ranges. Raises
    RangeNotSatisfiable."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        selected = ByteRange(max(0, size - int(match[2])), size)
    else:
        last = int(match[2]) if match[2] else size - 1
        if match[2] and last < int(match[1]):
            return None
        selected = ByteRange(int(match[1]), min(last + 1, size))
    if selected.start >= selected.stop:
        raise RangeNotSatisfiable
    return selected
