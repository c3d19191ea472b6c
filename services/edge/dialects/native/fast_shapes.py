"""native: the wire's shape of the most frequent command, a text to a chat. Apart, since msgspec cannot read the shapes
of a compiled module."""

from typing import Literal

import msgspec


class FastSend(msgspec.Struct, frozen=True, gc=False):
    op: Literal["send"]
    id: int
    chat: int
    text: str
    nonce: str
