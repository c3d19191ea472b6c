"""native, both directions: `mute`."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.parameters import ChatParameters, UnixMs
from services.edge.dialects.native.requests import Caller
from shared.contract.ids import ChatId
from shared.contract.session import Mute, MuteChat


class MuteParameters(ChatParameters, kw_only=True):
    """`until`: clients alert of no message before this time (Unix milliseconds); 0: of all. `mentions_only`: of those
    alone that mention the account."""

    until: UnixMs
    mentions_only: bool = False


class MuteEvent(msgspec.Struct, tag_field="ev", tag="mute"):
    """This account has muted the chat on another connection."""

    chat: int
    until: int
    mentions_only: bool


def mute(wire: MuteParameters, caller: Caller) -> MuteChat:
    return MuteChat(ChatId(wire.chat), wire.until, wire.mentions_only)


def fields(mute: Mute | None) -> tuple[int | UnsetType, bool | UnsetType]:
    """`muted_until` and `mentions_only` of a chat."""
    return (UNSET, UNSET) if mute is None else (mute.until or UNSET, mute.mentions_only or UNSET)
