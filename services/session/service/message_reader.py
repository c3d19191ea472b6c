"""Requests about chats to the message service."""

from collections.abc import AsyncIterator, Mapping, Sequence

from shared.contract.errors import RequestError
from shared.contract.following import ChatNews, FollowChats, HeadPosition
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads, GetHistory, Heads
from shared.contract.model import Message
from shared.contract.receipts import FindReadIndexes, ReadIndex
from shared.contract.routes import SendRequest
from shared.telemetry import log

_log = log(__name__)
_REQUEST_SECONDS = 3.0
_READ_INDEXES = 100
"""The most read indexes in one request. While the message service reads them, messages wait."""


class MessageReader:
    """Reads chats and messages from the message service. Every method may raise RequestError."""

    def __init__(self, request: SendRequest) -> None:
        self._request = request

    async def last_index(self, chat: ChatId) -> int:
        """The last index of the chat; 0 for an empty chat."""
        return (await self.last_change(chat))[0]

    async def last_change(self, chat: ChatId) -> tuple[int, int]:
        """The last index of a chat, and the number of its last change."""
        found = await self._get([chat])
        return found.heads.get(chat, 0), found.revs.get(chat, 0)

    async def last_indexes(self, chats: Sequence[ChatId]) -> Mapping[ChatId, int]:
        return (await self._get(chats)).heads

    async def _get(self, chats: Sequence[ChatId]) -> Heads:
        return await self._request(GetHeads(list(chats)), seconds=_REQUEST_SECONDS, retry=True)

    async def read(self, chat: ChatId, start: int, count: int, actor: AccountId) -> list[Message]:
        """At most `count` messages from index `start` on that `actor` may see."""
        request = GetHistory(chat, start, count, older=False, actor=actor)
        return (await self._request(request, seconds=_REQUEST_SECONDS, retry=True)).messages

    async def last_change_of(self, chats: Sequence[ChatId]) -> Mapping[ChatId, tuple[int, int]]:
        """For each of these chats, the last index and the number of the last change. Chats without a message are left
        out."""
        found = await self._get(chats)
        return {chat: (index, found.revs.get(chat, 0)) for chat, index in found.heads.items() if index}

    async def read_indexes(
        self, members: Sequence[tuple[AccountId, ChatId]], *, counts: bool = False
    ) -> tuple[list[ReadIndex], set[ChatId]]:
        """The index up to which these accounts have read; see FindReadIndexes. Also returns the chats whose member list
        the message service lacks now, or for which it does not answer. Some accounts of these chats are not found."""
        found, lacking = list[ReadIndex](), set[ChatId]()
        for start in range(0, len(members), _READ_INDEXES):
            request = FindReadIndexes([*members[start : start + _READ_INDEXES]], counts)
            try:
                some = (await self._request(request, seconds=_REQUEST_SECONDS, retry=True)).found
            except RequestError as error:
                _log.debug("read indexes are unknown now", error=str(error))
                return found, lacking | {chat for _, chat in members[start:]}
            lacking |= {chat for _, chat in request.members} - {one.chat for one in some}
            found += some
        return found, lacking

    async def pages_after(self, positions: Mapping[ChatId, tuple[int, int]]) -> AsyncIterator[ChatNews]:
        """The next messages after these positions (index and `rev`): one page for each chat."""
        left = [HeadPosition(chat, *position) for chat, position in sorted(positions.items())]
        while left:
            news = await self._request(FollowChats(left), seconds=_REQUEST_SECONDS, retry=True)
            for one in news.chats:
                yield one
            last = news.chats[-1].position.chat if news.more and news.chats else left[-1].chat
            left = [one for one in left if one.chat > last]
