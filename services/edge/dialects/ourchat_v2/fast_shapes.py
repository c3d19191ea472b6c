"""OurChat v2: the wire's shape of the most frequent frame, a 0 that is one text. Apart, since msgspec cannot read the
shapes of a compiled module."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class V2FastSender(msgspec.Struct, frozen=True, gc=False):
    session_id: str
    ocid: str | UnsetType = UNSET


class V2FastText(msgspec.Struct, frozen=True, gc=False):
    type: Literal[0]
    text: str


class V2FastMessage(msgspec.Struct, frozen=True, gc=False):
    code: Literal[0]
    sender: V2FastSender
    msg: tuple[V2FastText]
    time: float | UnsetType = UNSET
