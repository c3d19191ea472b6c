"""OurChat v2, client to server: the most frequent frame in one step."""

from typing import Final

from msgspec import UNSET

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.frames import Frame
from services.edge.dialects.base import Request
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.ourchat_v2.fast_shapes import V2FastMessage
from services.edge.dialects.wire_ids import parse_id
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Text
from shared.settings import LimitsSettings


def _quotes(wire: V2FastMessage) -> int:
    return 16 + 2 * (wire.time is not UNSET) + 4 * (wire.sender.ocid is not UNSET)


_reader: Final = FastReader(V2FastMessage, _quotes)


def fast_request(frame: Frame, account: AccountId, limits: LimitsSettings) -> Request | None:
    """A 0 that is one text; None: take the slow path."""
    wire = _reader.read(frame, limits)
    if wire is None:
        return None
    sender, text = wire.sender, wire.msg[0].text
    chat, ocid = parse_id(sender.session_id), sender.ocid
    if chat is None or not text or (ocid is not UNSET and (account == NO_ACCOUNT or parse_id(ocid) != account)):
        return None
    return Request(PostMessage(ChatId(chat), (Text(text),)))
