"""Reads ids in the forms in which clients write them."""

from typing import Final

_DIGITS: Final = 64
_MAX_ID: Final = 2**63 - 1


def parse_id(value: object) -> int | None:
    """Return an id that a client has written as a number or as a text. None if the value is no id."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        value = int(value)
    return value if type(value) is int and 1 <= value <= _MAX_ID else None
