"""Requests to the message service."""

from shared.bus.client import Bus
from shared.contract.ids import ChatId
from shared.contract.message import GetHeads
from shared.contract.subjects import GET_HEADS

_HEAD_SECONDS = 3.0


class MessageHeads:
    """Implements the port ChatHeads."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def last_index(self, chat: ChatId) -> int:
        heads = await self._bus.request(GET_HEADS, GetHeads([chat]), seconds=_HEAD_SECONDS, retry=True)
        return heads.heads.get(chat, 0)
