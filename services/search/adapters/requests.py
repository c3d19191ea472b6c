"""Requests to the other services, with their time limits."""

from shared.bus.client import Bus
from shared.contract.following import FollowChats, ListPositions, News, PositionPage, ReadVisible, Visible
from shared.contract.session import ChatList, GetMembership, ListChats, Membership

_FEED_SECONDS = 10.0
_SECONDS = 4.0


class BusRequests:
    """Raises RequestError."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

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
