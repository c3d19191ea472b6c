"""Which part of a file is asked for (RFC 9110, section 14); pure."""

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """Nothing of the file lies in the range."""


class ByteRange(NamedTuple):
    """Bytes from `start` up to `stop`."""

    start: int
    stop: int


def parse_range(header: str, size: int) -> ByteRange | None:
    """The one range of a Range header. None: the whole file, as for several ranges, and for what is no range. Raises
    Unsatisfiable."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        asked = ByteRange(max(0, size - int(match[2])), size)
    else:
        last = int(match[2]) if match[2] else size - 1
        if match[2] and last < int(match[1]):
            return None
        asked = ByteRange(int(match[1]), min(last + 1, size))
    if asked.start >= asked.stop:
        raise RangeNotSatisfiable
    return asked
