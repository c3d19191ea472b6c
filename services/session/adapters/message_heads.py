"""Requests to the message service."""

from collections.abc import Mapping, Sequence

from shared.bus.client import Bus
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads, GetHistory
from shared.contract.model import Message
from shared.contract.subjects import GET_HEADS, GET_HISTORY

_REQUEST_SECONDS = 3.0


class MessageHeads:
    """Implements the port ChatHeads."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def last_index(self, chat: ChatId) -> int:
        return (await self.last_indexes([chat])).get(chat, 0)

    async def last_indexes(self, chats: Sequence[ChatId]) -> Mapping[ChatId, int]:
        request = GetHeads(list(chats))
        return (await self._bus.request(GET_HEADS, request, seconds=_REQUEST_SECONDS, retry=True)).heads


class MessageReader(MessageHeads):
    """Implements the port ChatMessages."""

    async def read(self, chat: ChatId, start: int, count: int, actor: AccountId) -> list[Message]:
        request = GetHistory(chat, start, count, older=False, actor=actor)
        return (await self._bus.request(GET_HISTORY, request, seconds=_REQUEST_SECONDS, retry=True)).messages
