"""The mark at the start of every text that is said: who hears it knows when, by whom and as the how manieth of that
voice it was said, whatever the protocol around it. Plain letters and digits, which no dialect has to escape."""

from binascii import hexlify, unhexlify
from struct import Struct, error

import msgspec

_START = b"~dgm~"
_FIELDS = Struct(">IIIQ")
SIZE = len(_START) + 2 * _FIELDS.size
"""Bytes of a mark."""


class Tag(msgspec.Struct, frozen=True, gc=False):
    """`run`: a number of this run, so that what an earlier one left is told apart; `voice`: somebody in a chat;
    `number`: 1, 2, 3 … of that voice; `due`: when it was to be said, in nanoseconds of the monotonic clock."""

    run: int
    voice: int
    number: int
    due: int


def write(run: int, voice: int, number: int, due: int) -> bytes:
    return _START + hexlify(_FIELDS.pack(run, voice, number, due))


def find(payload: bytes) -> Tag | None:
    """The first mark of a frame."""
    at = payload.find(_START) + len(_START)
    if at < len(_START):
        return None
    try:
        return Tag(*_FIELDS.unpack(unhexlify(payload[at : at + 2 * _FIELDS.size])))
    except (ValueError, error):
        return None
