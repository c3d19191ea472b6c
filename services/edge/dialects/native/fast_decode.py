"""native, client to server: the most frequent command in one step."""

from typing import Final

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.frames import Frame
from services.edge.dialects.base import Request
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.native.decode import CommandId
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.native.shapes import LARGEST, LONGEST_ID, FastSend
from shared.contract.ids import ChatId
from shared.contract.model import Text
from shared.settings import LimitsSettings

_LARGEST: Final = LARGEST
SEND: Final = BY_NAME["send"]


def _quotes(_wire: FastSend) -> int:
    return 16


_reader: Final = FastReader(FastSend, _quotes)


def fast_send(frame: Frame, limits: LimitsSettings) -> Request | None:
    """A text to a chat, which is no larger than a message may be; None: take the slow path."""
    wire = _reader.read(frame, limits)
    if wire is None:
        return None
    id, chat, text, nonce = wire.id, wire.chat, wire.text, wire.nonce
    if not (text and 0 <= id <= _LARGEST and 1 <= chat <= _LARGEST and 1 <= len(nonce) <= LONGEST_ID):
        return None
    return Request(PostMessage(ChatId(chat), (Text(text),), nonce=nonce), CommandId(id, operation=SEND))
