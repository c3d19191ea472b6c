"""Requests to the other services, and the time limit of each request."""

import nats.errors

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.following import FollowChats, ListPositions, News, PositionPage, ReadVisible, Visible
from shared.contract.search import SearchMessages
from shared.contract.session import ChatList, GetMembership, ListChats, Membership
from shared.contract.subjects import SEARCH_INCOMPLETE

_FEED_SECONDS = 10.0
_SECONDS = 4.0


class BusRequests:
    """Sends requests to the other services. Every method may raise RequestError."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def answer(self, is_complete: bool) -> None:
        """Receive searches. A process whose index is not complete receives only searches that no other process can
        answer."""
        try:
            await self._bus.receive(SearchMessages.route.subject, is_complete)
            await self._bus.receive(SEARCH_INCOMPLETE.subject, True)
        except nats.errors.Error as error:
            raise RequestError(ErrorCode.UNAVAILABLE, f"the broker: {error!r}") from error

    async def positions(self, request: ListPositions) -> PositionPage:
        return await self._bus.send(request, seconds=_FEED_SECONDS)

    async def news(self, request: FollowChats) -> News:
        return await self._bus.send(request, seconds=_FEED_SECONDS)

    async def visible(self, request: ReadVisible) -> Visible:
        return await self._bus.send(request, seconds=_SECONDS, retry=True)

    async def list_chats(self, request: ListChats) -> ChatList:
        return await self._bus.send(request, seconds=_SECONDS, retry=True)

    async def membership(self, request: GetMembership) -> Membership:
        return await self._bus.send(request, seconds=_SECONDS, retry=True)
