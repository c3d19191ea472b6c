"""The use cases beside posting, over several databases: a replica requests each database's part from its replicas, and
puts the parts together. A database that is away makes only its own chats unavailable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TypeVar

from services.message.service.merging import merge_searches, merge_syncs, merge_unread, split_entries
from services.message.service.ports import DatabasePort, RequestChatList
from services.message.service.queries import list_all_chats
from services.message.service.resuming import merge_resumed, with_gone
from services.message.service.text_search import check_request, searched_chats
from shared.contract.audit import FindMessage, StoredMessage
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import ChatId
from shared.contract.message import (
    Changed,
    ChangeMessage,
    ChangePage,
    ChatSynced,
    GetChanges,
    GetHeads,
    GetHistory,
    GetQuoted,
    GetUnread,
    Heads,
    History,
    Marked,
    MarkRead,
    Quoted,
    Sync,
    SyncChat,
    Synced,
    SyncPart,
    Unread,
    UnreadPart,
)
from shared.contract.reactions import FindReactors, Reactors
from shared.contract.receipts import FindReaders, FindReadIndexes, Readers, ReadIndexes
from shared.contract.resume import Resume, Resumed, ResumePart
from shared.contract.search import SearchMessages, SearchPage, SearchPart
from shared.contract.session import Ack, EraseAccount, ListChats
from shared.contract.subjects import (
    CHANGE_MESSAGE,
    ERASE_READ_STATE,
    FIND_MESSAGE,
    FIND_REACTORS,
    FIND_READ_INDEXES,
    FIND_READERS,
    GET_CHANGES,
    GET_HEADS,
    GET_HISTORY,
    GET_QUOTED,
    MARK_READ,
    RESUME_PART,
    SEARCH_PART,
    SYNC_CHAT,
    SYNC_PART,
    UNREAD_PART,
)

R = TypeVar("R")

_AWAY = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)


class DistributedQueries:
    """Each method is one use case. Raises RequestError."""

    def __init__(self, databases: DatabasePort, list_chats: RequestChatList, reply_bytes: int) -> None:
        self._databases = databases
        self._list_chats = list_chats
        self._reply_bytes = reply_bytes

    async def sync(self, request: Sync) -> Synced:
        page = await self._list_chats(ListChats(request.account, request.after, request.also))
        lists = {request.account: page, **page.also}
        placed = self._split(entry.chat for listed in lists.values() for entry in listed.entries)

        def part(database: str) -> SyncPart:
            own = {account: split_entries(listed.entries, placed[database]) for account, listed in lists.items()}
            return SyncPart(
                {account: entries for account, entries in own.items() if entries}, request.known, request.bare
            )

        parts = await self._request_parts(placed, lambda name: self._databases.request(name, SYNC_PART, part(name)))
        pages = merge_syncs(lists, placed, parts, self._reply_bytes)
        own = pages.pop(request.account)
        return Synced(own.chats, own.more, pages, own.away)

    async def resume(self, request: Resume) -> Resumed:
        """Of the databases that answer."""
        entries = await list_all_chats(self._list_chats, request.account, states=True)
        placed = self._split(entry.chat for entry in entries)

        def part(database: str) -> ResumePart:
            return ResumePart(request, split_entries(entries, placed[database]))

        parts = await self._request_parts(placed, lambda name: self._databases.request(name, RESUME_PART, part(name)))
        away = [chat for name, reply in parts.items() if reply is None for chat in placed[name]]
        replies = {name: reply for name, reply in parts.items() if reply is not None}
        merged = merge_resumed(replies, request, away)
        return with_gone(merged, request, entries)

    async def unread(self, request: GetUnread) -> Unread:
        """Of the databases that answer."""
        entries = await list_all_chats(self._list_chats, request.account)
        placed = self._split(entry.chat for entry in entries)

        def part(database: str) -> UnreadPart:
            own = split_entries(entries, placed[database])
            return UnreadPart(request.account, own, request.count, request.by_chat)

        parts = await self._request_parts(placed, lambda name: self._databases.request(name, UNREAD_PART, part(name)))
        return merge_unread(filter(None, parts.values()), request.count, self._reply_bytes)

    async def search(self, request: SearchMessages) -> SearchPage:
        """In the databases that answer."""
        check_request(request)
        entries = await searched_chats(self._list_chats, request)
        placed = self._split(entry.chat for entry in entries)

        def part(database: str) -> SearchPart:
            return SearchPart(request, split_entries(entries, placed[database]))

        parts = await self._request_parts(placed, lambda name: self._databases.request(name, SEARCH_PART, part(name)))
        replies = [reply for reply in parts.values() if reply is not None]
        return merge_searches(replies, request.count, away=len(replies) < len(parts))

    async def sync_chat(self, request: SyncChat) -> ChatSynced:
        return await self._databases.request(self._databases.database_of(request.chat), SYNC_CHAT, request)

    async def history(self, request: GetHistory) -> History:
        return await self._databases.request(self._databases.database_of(request.chat), GET_HISTORY, request)

    async def quoted(self, request: GetQuoted) -> Quoted:
        return await self._databases.request(self._databases.database_of(request.chat), GET_QUOTED, request)

    async def change(self, request: ChangeMessage) -> Changed:
        return await self._databases.request(self._databases.database_of(request.chat), CHANGE_MESSAGE, request)

    async def changes(self, request: GetChanges) -> ChangePage:
        return await self._databases.request(self._databases.database_of(request.chat), GET_CHANGES, request)

    async def reactors(self, request: FindReactors) -> Reactors:
        return await self._databases.request(self._databases.database_of(request.chat), FIND_REACTORS, request)

    async def find(self, request: FindMessage) -> StoredMessage:
        """By id or nonce, in every database. That a message is nowhere is not known while one is away."""
        if request.chat:
            return await self._databases.request(self._databases.database_of(request.chat), FIND_MESSAGE, request)
        requests = [self._databases.request(name, FIND_MESSAGE, request) for name in self._databases.names]
        results = await asyncio.gather(*requests, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        for result in results:
            if not isinstance(result, BaseException):
                return result
        raise next((error for error in errors if not _is_not_found(error)), errors[0])

    async def heads(self, request: GetHeads) -> Heads:
        """Of all the chats, or of none."""
        placed = self._split(request.chats)

        async def part(database: str) -> Heads:
            return await self._databases.request(database, GET_HEADS, GetHeads(list(placed[database])))

        parts = await asyncio.gather(*map(part, placed))
        return Heads({chat: head for one in parts for chat, head in one.heads.items()})

    async def mark_read(self, request: MarkRead) -> Marked:
        """Each database stores its own ranges; those of one that is away come back."""
        placed = self._split(one.chat for one in request.ranges)
        ranges = {name: [one for one in request.ranges if one.chat in chats] for name, chats in placed.items()}

        async def part(database: str) -> Marked:
            return await self._databases.request(database, MARK_READ, MarkRead(ranges[database]))

        parts = await self._request_parts(ranges, part, some=False)
        return Marked([one for name, stored in parts.items() if stored is None for one in ranges[name]])

    async def readers(self, request: FindReaders) -> Readers:
        return await self._databases.request(self._databases.database_of(request.chat), FIND_READERS, request)

    async def read_indexes(self, request: FindReadIndexes) -> ReadIndexes:
        """Of the databases that answer."""
        placed = self._split(chat for _, chat in request.members)
        members = {name: [one for one in request.members if one[1] in chats] for name, chats in placed.items()}

        async def part(database: str) -> ReadIndexes:
            own = FindReadIndexes(members[database], request.counts)
            return await self._databases.request(database, FIND_READ_INDEXES, own)

        parts = await self._request_parts(members, part)
        return ReadIndexes([found for reply in parts.values() if reply is not None for found in reply.found])

    async def erase_account(self, request: EraseAccount) -> Ack:
        """In every database, or the request fails and is to be repeated."""
        requests = [self._databases.request(name, ERASE_READ_STATE, request) for name in self._databases.names]
        results = await asyncio.gather(*requests, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return Ack()

    async def account_deleted(self, event: AccountDeleted) -> None:
        await self.erase_account(EraseAccount(event.account))

    # Databases

    def _split(self, chats: Iterable[ChatId]) -> dict[str, set[ChatId]]:
        """The chats by database, in the order of names; those of no known database under an empty name."""
        placed: dict[str, set[ChatId]] = {}
        for chat in chats:
            placed.setdefault(self._databases.database_of(chat), set()).add(chat)
        return dict(sorted(placed.items()))

    async def _request_parts(
        self, databases: Mapping[str, Collection[object]], request: Callable[[str], Awaitable[R]], *, some: bool = True
    ) -> dict[str, R | None]:
        """The reply of each database, None of one that is away; with `some`, raises the error if all are."""
        names = list(databases)
        replies = await asyncio.gather(*map(request, names), return_exceptions=True)
        parts: dict[str, R | None] = {}
        for name, reply in zip(names, replies, strict=True):
            if not isinstance(reply, BaseException):
                parts[name] = reply
            elif isinstance(reply, RequestError) and reply.failure.code in _AWAY:
                parts[name] = None
            else:
                raise reply
        if some and replies and all(part is None for part in parts.values()):
            raise next(reply for reply in replies if isinstance(reply, BaseException))
        return parts


def _is_not_found(error: BaseException) -> bool:
    return isinstance(error, RequestError) and error.failure.code is ErrorCode.NOT_FOUND
