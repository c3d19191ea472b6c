"""Requests to message about chats."""

from collections.abc import Mapping, Sequence

from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads, GetHistory, Heads
from shared.contract.model import Message
from shared.contract.routes import SendRequest

_REQUEST_SECONDS = 3.0


class MessageReader:
    """All raise RequestError."""

    def __init__(self, request: SendRequest) -> None:
        self._request = request

    async def last_index(self, chat: ChatId) -> int:
        """0 for an empty chat."""
        return (await self.last_change(chat))[0]

    async def last_change(self, chat: ChatId) -> tuple[int, int | None]:
        """The last index of a chat and the number of its last change, if an older version of message does not leave it
        out."""
        found = await self._get([chat])
        return found.heads.get(chat, 0), found.revs.get(chat)

    async def last_indexes(self, chats: Sequence[ChatId]) -> Mapping[ChatId, int]:
        return (await self._get(chats)).heads

    async def _get(self, chats: Sequence[ChatId]) -> Heads:
        return await self._request(GetHeads.route, GetHeads(list(chats)), seconds=_REQUEST_SECONDS, retry=True)

    async def read(self, chat: ChatId, start: int, count: int, actor: AccountId) -> list[Message]:
        """The messages from index `start` on, at most `count`, as far as `actor` may see them."""
        request = GetHistory(chat, start, count, older=False, actor=actor)
        return (await self._request(GetHistory.route, request, seconds=_REQUEST_SECONDS, retry=True)).messages
