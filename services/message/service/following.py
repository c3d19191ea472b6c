"""Answers requests of the search service: which chats have new messages or changes, what these are, and which found
messages an account may read."""

import asyncio
from dataclasses import dataclass, field
from functools import partial

from services.message.domain import NO_SUCH_MESSAGE, message_size
from services.message.service.chat_states import chat_states, unread_spans
from services.message.service.load_members import load_members, require_member
from services.message.service.member_list import ChatMembers
from services.message.service.ports import LookUpVersions, MemberListPort
from services.message.store import MessageStore, Snapshot
from shared.contract.drafts import DraftSaved, GetDraft, SavedDraft, SaveDraft
from shared.contract.errors import RequestError
from shared.contract.following import (
    MAX_FOLLOWED,
    MAX_FOLLOWED_MESSAGES,
    FollowChats,
    ListPositions,
    News,
    PositionPage,
    ReadVisible,
    Visible,
)
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import MarkUnread, UnreadMarked
from shared.contract.model import Message
from shared.contract.session import ChatEntry
from shared.settings.messages import MessageSettings


@dataclass(frozen=True)
class OwnChats:
    """Stores private data of an account in a chat: its draft, and the index from which the chat counts as unread."""

    _store: MessageStore
    _member_lists: MemberListPort
    _versions: LookUpVersions
    _settings: MessageSettings

    async def mark_unread(self, request: MarkUnread) -> UnreadMarked:
        """Marks messages as unread. Raises RequestError."""
        entry = await self._entry(request.chat, request.actor)

        def count(snapshot: Snapshot) -> UnreadMarked:
            states = chat_states(snapshot, {request.actor: [entry]})[request.actor]
            counts = snapshot.unread(unread_spans(states, self._settings.unread_per_chat), request.actor)
            return UnreadMarked(*counts.get(request.chat, (0, 0)))

        heads = await self._store.read(lambda snapshot: snapshot.heads([request.chat]))
        if not max(entry.first_index, 1) <= request.index <= heads.get(request.chat, 0):
            raise RequestError.from_failure(NO_SUCH_MESSAGE)
        await self._store.mark_unread(request.actor, request.chat, request.index)
        return await self._store.read(count)

    async def save_draft(self, request: SaveDraft) -> DraftSaved:
        """Saves a draft, or removes it if its text is empty. An account may remove a draft even in a chat that it has
        left. Raises RequestError."""
        if request.text:
            await self._entry(request.chat, request.actor)
        return await self._store.save_draft(request)

    async def get_draft(self, request: GetDraft) -> SavedDraft:
        return await self._store.find_draft(request.actor, request.chat)

    async def _entry(self, chat: ChatId, account: AccountId) -> ChatEntry:
        member_list = await load_members(self._member_lists, self._versions, chat)
        return ChatEntry(chat, *require_member(member_list, account))


@dataclass(frozen=True)
class MessageFeed:
    """Each public method is one use case. Raises RequestError."""

    _store: MessageStore
    _member_lists: MemberListPort
    _versions: LookUpVersions
    _settings: MessageSettings
    _following: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """The lock lets this replica prepare only one reply at a time, because the search service can wait."""

    async def positions(self, request: ListPositions) -> PositionPage:
        async with self._following:
            return await self._store.list_positions(request.after)

    async def follow(self, request: FollowChats) -> News:
        async with self._following:
            limit = min(max(1, request.limit), MAX_FOLLOWED_MESSAGES)
            return await self._store.read_news(request.positions[:MAX_FOLLOWED], limit, self._settings.reply_bytes // 2)

    async def visible(self, request: ReadVisible) -> Visible:
        """Which of the found messages the actor may read. As for the history, the present member lists decide."""
        chats = {chat for chat, _, _ in request.ranges}
        member_lists = await self._member_lists.load(chats, await self._versions(chats))
        first: dict[ChatId, int] = {}
        for chat, member_list in member_lists.items():
            if not isinstance(member_list, ChatMembers):
                raise RequestError.from_failure(member_list)
            if request.account in member_list.members:
                first[chat] = member_list.members[request.account][0]
        spans = sorted((chat, max(low, first[chat]), high) for chat, low, high in request.ranges if chat in first)
        return await self._store.read(
            partial(_read_visible, spans=spans, budget=self._settings.reply_bytes // 2), brief=False
        )


def _read_visible(snapshot: Snapshot, spans: list[tuple[ChatId, int, int]], budget: int) -> Visible:
    messages = list[Message]()
    for message in snapshot.messages(spans):
        budget -= message_size(message)
        if budget < 0 and messages:
            return Visible(messages, more=True)
        messages.append(message)
    return Visible(messages)
