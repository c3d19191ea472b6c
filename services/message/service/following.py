"""What search requests: which chats have moved, what is new in them, and what an account may read of what it found."""

import asyncio
from functools import partial

from services.message.domain import message_size
from services.message.service.ports import LookUpVersions, RosterPort
from services.message.service.roster import Roster
from services.message.store import MessageStore, Snapshot
from shared.contract.errors import RequestError
from shared.contract.following import (
    MAX_FOLLOWED,
    FollowChats,
    ListPositions,
    News,
    PositionPage,
    ReadVisible,
    Visible,
)
from shared.contract.ids import ChatId
from shared.contract.model import Message
from shared.settings import MessageSettings


class MessageFeed:
    """Each method is one use case. Raises RequestError."""

    def __init__(
        self, store: MessageStore, rosters: RosterPort, versions: LookUpVersions, settings: MessageSettings
    ) -> None:
        self._store = store
        self._rosters = rosters
        self._versions = versions
        self._reply_bytes = settings.reply_bytes
        self._following = asyncio.Lock()
        """One reply at a time is made: search may wait."""

    async def positions(self, request: ListPositions) -> PositionPage:
        async with self._following:
            return await self._store.list_positions(request.after)

    async def follow(self, request: FollowChats) -> News:
        async with self._following:
            return await self._store.read_news(request.positions[:MAX_FOLLOWED], self._reply_bytes // 2)

    async def visible(self, request: ReadVisible) -> Visible:
        """By the members as history knows them now."""
        chats = {chat for chat, _, _ in request.ranges}
        rosters = await self._rosters.load(chats, await self._versions(chats))
        first: dict[ChatId, int] = {}
        for chat, roster in rosters.items():
            if not isinstance(roster, Roster):
                raise RequestError.from_failure(roster)
            if request.account in roster.members:
                first[chat] = roster.members[request.account][0]
        spans = sorted((chat, max(low, first[chat]), high) for chat, low, high in request.ranges if chat in first)
        return await self._store.read(partial(_read_visible, spans=spans, budget=self._reply_bytes // 2), brief=False)


def _read_visible(snapshot: Snapshot, spans: list[tuple[ChatId, int, int]], budget: int) -> Visible:
    messages = list[Message]()
    for message in snapshot.messages(spans):
        budget -= message_size(message)
        if budget < 0 and messages:
            return Visible(messages, more=True)
        messages.append(message)
    return Visible(messages)
