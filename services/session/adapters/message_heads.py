"""Requests to the message service."""

from collections.abc import Mapping, Sequence

from shared.bus.client import Bus
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads, GetHistory, Heads
from shared.contract.model import Message

_REQUEST_SECONDS = 3.0


class MessageHeads:
    """Implements the port ChatHeads."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def last_index(self, chat: ChatId) -> int:
        return (await self.last_change(chat))[0]

    async def last_change(self, chat: ChatId) -> tuple[int, int | None]:
        found = await self._get([chat])
        return found.heads.get(chat, 0), found.revs.get(chat)

    async def last_indexes(self, chats: Sequence[ChatId]) -> Mapping[ChatId, int]:
        return (await self._get(chats)).heads

    async def _get(self, chats: Sequence[ChatId]) -> Heads:
        return await self._bus.request(GetHeads.route, GetHeads(list(chats)), seconds=_REQUEST_SECONDS, retry=True)


class MessageReader(MessageHeads):
    """Implements the port ChatMessages."""

    async def read(self, chat: ChatId, start: int, count: int, actor: AccountId) -> list[Message]:
        request = GetHistory(chat, start, count, older=False, actor=actor)
        return (await self._bus.request(GetHistory.route, request, seconds=_REQUEST_SECONDS, retry=True)).messages
