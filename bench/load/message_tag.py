"""The tag at the start of every text that the load sends. From the tag, the sender, the number and the due time of the
message are known in every dialect. A tag has only characters that no dialect escapes."""

from binascii import hexlify, unhexlify
from struct import Struct, error

import msgspec

_START = b"~dgm~"
_FIELDS = Struct(">IIIQ")
SIZE = len(_START) + 2 * _FIELDS.size
"""The number of bytes of a tag."""


class Tag(msgspec.Struct, frozen=True, gc=False):
    """`run` identifies the run, so that messages of earlier runs are ignored. `sender`: the number of an account in a
    chat. `number`: 1, 2, 3 … for each sender. `due`: the time at which the message should be sent, in nanoseconds of
    the monotonic clock."""

    run: int
    sender: int
    number: int
    due: int


def write(run: int, sender: int, number: int, due: int) -> bytes:
    return _START + hexlify(_FIELDS.pack(run, sender, number, due))


def find(payload: bytes) -> Tag | None:
    """The first tag of a frame, or None if it has none."""
    at = payload.find(_START) + len(_START)
    if at < len(_START):
        return None
    try:
        return Tag(*_FIELDS.unpack(unhexlify(payload[at : at + 2 * _FIELDS.size])))
    except (ValueError, error):
        return None
