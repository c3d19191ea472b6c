"""Search for words in the messages of an account's chats."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.message.domain import NOT_A_MEMBER
from services.message.search_terms import filter_terms, message_terms, message_text, query_terms, snippet
from services.message.service.ports import RequestChatList
from services.message.service.queries import list_all_chats
from services.message.store import MessageStore, Snapshot
from services.message.store.search import FoundPlaces, SearchedChat
from services.message.store.snapshot import Activity
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message
from shared.contract.search import MAX_HITS, MAX_QUERY, SearchHit, SearchMessages, SearchPage, SearchPart
from shared.contract.session import ChatEntry
from shared.settings import MessageSettings

_AT_ONCE = 2
"""Searches of one replica: the others wait, and history and syncs keep threads and connections."""
_NEVER = 2**62


class TextSearch:
    """Each method is one use case. Raises RequestError."""

    def __init__(self, store: MessageStore, list_chats: RequestChatList, settings: MessageSettings) -> None:
        self._store = store
        self._list_chats = list_chats
        self._is_on = settings.search
        self._searching = asyncio.Semaphore(_AT_ONCE)

    async def search(self, request: SearchMessages) -> SearchPage:
        check_request(request)
        return await self.search_part(SearchPart(request, await searched_chats(self._list_chats, request)))

    async def search_part(self, part: SearchPart) -> SearchPage:
        if not self._is_on:
            raise RequestError(ErrorCode.FORBIDDEN, "search is switched off")
        async with self._searching:
            return await self._store.read(lambda snapshot: _search(snapshot, part, now_ms()), brief=False)


async def searched_chats(list_chats: RequestChatList, request: SearchMessages) -> list[ChatEntry]:
    """Raises RequestError."""
    entries = await list_all_chats(list_chats, request.actor)
    if request.chat:
        entries = [entry for entry in entries if entry.chat == request.chat]
        if not entries:
            raise RequestError.from_failure(NOT_A_MEMBER)
    return entries


def check_request(request: SearchMessages) -> None:
    """Raises RequestError."""
    if len(request.query) > MAX_QUERY:
        raise RequestError(ErrorCode.TOO_LARGE, f"a query has {MAX_QUERY} characters at most", "query")
    if not query_terms(request.query):
        raise RequestError(ErrorCode.INVALID, "the query has no word", "query")
    if not 1 <= request.count <= MAX_HITS:
        raise RequestError(ErrorCode.INVALID, f"a page has 1 to {MAX_HITS} messages", "count")


def _search(snapshot: Snapshot, part: SearchPart, now: int) -> SearchPage:
    request, activity = part.request, snapshot.activity(entry.chat for entry in part.entries)
    chats = list(_chats(part, activity))
    words = query_terms(request.query)
    filters = filter_terms(request.sender, [request.has] if request.has else [])
    terms = [*filters, *words]
    found = snapshot.search(chats, terms, request.after, request.count)
    hits = list(_hits(_messages(snapshot, found), words, frozenset(terms)))
    missing = snapshot.first_missing_in_index([one.chat for one in chats])
    return SearchPage(hits, now if missing is None else missing - 1, _next(found, request.count))


def _chats(part: SearchPart, activity: Mapping[ChatId, Activity]) -> Iterator[SearchedChat]:
    """Those in which there is something to be found."""
    request = part.request
    limit = request.before or _NEVER
    for entry in part.entries:
        before = limit
        if request.place is not None:
            time, chat = request.place
            before = min(limit, time + 1 if entry.chat < chat else time)
        head = activity.get(entry.chat)
        if head is not None and head.last_time > request.after and head.last_index >= entry.first_index:
            active = min(head.last_time, before - 1)
            yield SearchedChat(entry.chat, entry.first_index, before, active)


def _messages(snapshot: Snapshot, found: FoundPlaces) -> list[Message]:
    spans = sorted((one.chat, one.place, one.place) for one in found.places)
    messages = {(one.chat, one.index): one for one in snapshot.messages(spans)}
    return [messages[one.chat, one.place] for one in found.places if (one.chat, one.place) in messages]


def _hits(messages: Iterable[Message], words: Sequence[str], terms: frozenset[str]) -> Iterator[SearchHit]:
    """Of the messages that have the terms now: the index may not know yet that one was edited or recalled."""
    for one in messages:
        if terms <= message_terms(AccountId(one.sender), one.body):
            text, marks = snippet(message_text(one.body), words)
            yield SearchHit(one.chat, one.index, one.id, one.sender, one.time, text, marks)


def _next(found: FoundPlaces, count: int) -> tuple[int, int] | None:
    if len(found.places) == count:
        last = found.places[-1]
        return last.time, last.chat
    return (found.bound, 0) if found.bound else None
