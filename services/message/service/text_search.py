"""Search for words in the messages of an account's chats."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from services.message.domain import NOT_A_MEMBER
from services.message.search_terms import filter_terms, message_terms, message_text, query_terms, snippet
from services.message.service.ports import RequestChatList
from services.message.service.queries import list_all_chats
from services.message.store import MessageStore, Snapshot
from services.message.store.search import FoundPlaces, SearchedChat, Wanted
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message
from shared.contract.search import MAX_HITS, MAX_QUERY, SearchHit, SearchMessages, SearchPage
from shared.contract.session import ChatEntry
from shared.settings import MessageSettings

_AT_ONCE = 2
"""Searches of one replica: the others wait, and history and syncs keep threads and connections."""
_MOST_ACTIVE = 2_500
"""Chats: few searches look at more of them, as the newest messages fill the page."""
_NEVER = 2**62


class TextSearch:
    """Each method is one use case. Raises RequestError."""

    def __init__(self, store: MessageStore, list_chats: RequestChatList, settings: MessageSettings) -> None:
        self._store = store
        self._list_chats = list_chats
        self._is_on = settings.search
        self._searching = asyncio.Semaphore(_AT_ONCE)

    async def search(self, request: SearchMessages) -> SearchPage:
        _check_request(request)
        entries = await _searched_chats(self._list_chats, request)
        if not self._is_on:
            raise RequestError(ErrorCode.FORBIDDEN, "search is switched off")
        async with self._searching:
            return await self._store.read(lambda snapshot: _search(snapshot, request, entries, now_ms()), brief=False)


async def _searched_chats(list_chats: RequestChatList, request: SearchMessages) -> list[ChatEntry]:
    """Raises RequestError."""
    entries = await list_all_chats(list_chats, request.actor)
    if request.chat:
        entries = [entry for entry in entries if entry.chat == request.chat]
        if not entries:
            raise RequestError.from_failure(NOT_A_MEMBER)
    return entries


def _check_request(request: SearchMessages) -> None:
    """Raises RequestError."""
    if len(request.query) > MAX_QUERY:
        raise RequestError(ErrorCode.TOO_LARGE, f"a query has {MAX_QUERY} characters at most", "query")
    if not query_terms(request.query):
        raise RequestError(ErrorCode.INVALID, "the query has no word", "query")
    if not 1 <= request.count <= MAX_HITS:
        raise RequestError(ErrorCode.INVALID, f"a page has 1 to {MAX_HITS} messages", "count")


def _search(snapshot: Snapshot, request: SearchMessages, entries: Sequence[ChatEntry], now: int) -> SearchPage:
    words = query_terms(request.query)
    terms = [*filter_terms(request.sender, [request.has] if request.has else []), *words]
    chats = [entry.chat for entry in entries]
    survey = snapshot.survey_chats(chats, terms, request.after, _MOST_ACTIVE)

    def active() -> Iterator[tuple[int, ChatId]]:
        yield from survey.active
        if survey.number > len(survey.active):
            everything = snapshot.survey_chats(chats, terms, request.after, survey.number)
            yield from everything.active[len(survey.active) :]

    found = snapshot.search(
        _chats(request, entries, active()), survey.number, Wanted(terms, request.after, request.count)
    )
    hits = list(_hits(_messages(snapshot, found), words, frozenset(terms)))
    indexed_to = now if survey.first_missing is None else survey.first_missing - 1
    return SearchPage(hits, indexed_to, _next(found, request.count))


def _chats(
    request: SearchMessages, entries: Iterable[ChatEntry], active: Iterable[tuple[int, ChatId]]
) -> Iterator[SearchedChat]:
    limit = request.before or _NEVER
    time, last = request.place or (_NEVER, ChatId(0))
    first_indexes = {entry.chat: entry.first_index for entry in entries}
    for last_time, chat in active:
        before = min(limit, time + 1 if chat < last else time)
        yield SearchedChat(chat, first_indexes[chat], before, min(last_time, limit - 1, time))


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
