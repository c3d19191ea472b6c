"""Answers searches. Before a hit is shown, it is compared with the present message and with the account's present
permissions. So an outdated index or an outdated list of chats shows no message that is recalled or forbidden."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from services.search.index.documents import kinds_of, segments_of, text_of
from services.search.index.message_index import FoundPlace, MessageIndex, Wanted
from services.search.metrics import SearchMetrics
from services.search.service.names import NameResolver
from services.search.text.matches import excerpt, forbidden, marks, required
from services.search.text.query import QueryError, SearchQuery, parse
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.following import ReadVisible, Visible
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message, Role
from shared.contract.search import MAX_CONTEXT, MAX_HITS, MAX_QUERY, SearchHit, SearchMessages, SearchPage
from shared.contract.session import ChatList, GetMembership, ListChats, Membership, MembershipVersions

_THREADS = 2
_STEP_SECONDS = 0.05
"""Replies are sent at multiples of this time, so that their timing does not reveal messages that the account may not
see. A search among 10 million messages, of which thousands are forbidden, takes less than this time."""

T = TypeVar("T")
Place = tuple[ChatId, int]


class IndexReading(Protocol):
    @property
    def read(self) -> MessageIndex | None: ...


class TextSearch:
    """Answers searches. Every method may raise RequestError."""

    def __init__(
        self,
        indexes: IndexReading,
        indexed_to: Callable[[], int],
        chats_of: Callable[[AccountId], Awaitable[Mapping[ChatId, int]]],
        read_visible: Callable[[ReadVisible], Awaitable[Visible]],
        names: NameResolver,
        metrics: SearchMetrics,
    ) -> None:
        self._indexes = indexes
        self._indexed_to = indexed_to
        self._chats_of = chats_of
        self._read_visible = read_visible
        self._names = names
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(_THREADS, "search")

    async def search(self, request: SearchMessages) -> SearchPage:
        began = time.monotonic()
        try:
            return await self.find(request)
        finally:
            await asyncio.sleep(_STEP_SECONDS - (time.monotonic() - began) % _STEP_SECONDS)

    async def find(self, request: SearchMessages) -> SearchPage:
        """Finds a page of messages."""
        try:
            parsed = _parsed(request)
            chats = await self._listed(request, parsed)
            wanted = _wanted(request, parsed, await self._sender(request, parsed))
        except QueryError as error:
            raise error.rejection(request.query) from error
        index, indexed_to = self._indexes.read, self._indexed_to()
        if index is None:
            raise RequestError(ErrorCode.UNAVAILABLE, "the search index is not ready, please try again")
        if not chats:
            return SearchPage([], indexed_to)
        with self._metrics.find_seconds.time():
            found = await self._in_thread(partial(index.find, wanted, chats, request.count))
        messages = await self._read(request, found)
        # a page of long messages takes seconds
        hits = await self._in_thread(partial(_hits, messages, found, parsed, request))
        self._metrics.stale.inc(len(found) - len(hits))
        around = _around(messages, hits, request)
        return SearchPage(hits, indexed_to, found[-1][:2] if len(found) == request.count else None, around)

    async def _listed(self, request: SearchMessages, parsed: SearchQuery) -> dict[ChatId, int]:
        """The chats to search: those of the actor's chats that the filters of the query and the request select. Each
        chat has the first index that the actor may see. The result is a copy, because the cached lists are corrected
        meanwhile. Raises QueryError."""
        chats, only = await self._chats_of(request.actor), set[ChatId]()
        if request.chat:
            if request.chat not in chats:
                raise RequestError(
                    ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat", reason=Reason.NOT_MEMBER
                )
            only.add(request.chat)
        if parsed.chat is not None:
            only.add(await self._names.chat(parsed.chat, request.actor, list(chats)))
        if not only:
            return dict(chats)
        return {chat: chats[chat] for chat in only} if len(only) == 1 else {}

    async def _sender(self, request: SearchMessages, parsed: SearchQuery) -> AccountId:
        """The sender whose messages are wanted; NO_ACCOUNT if any sender is. Raises QueryError."""
        if parsed.sender is None:
            return request.sender
        searched = request.chat or (ChatId(parsed.chat.number) if parsed.chat is not None else ChatId(0))
        return await self._names.sender(parsed.sender, request.actor, searched)

    async def _read(self, request: SearchMessages, found: Sequence[FoundPlace]) -> dict[Place, Message]:
        """Reads the messages of the hits and the messages around them."""
        around = request.context
        left = [(one.chat, max(1, one.place - around), one.place + around) for one in found]
        messages = dict[Place, Message]()
        while left:
            visible = await self._read_visible(ReadVisible(request.actor, left))
            messages |= {(one.chat, one.index): one for one in visible.messages}
            last = (visible.messages[-1].chat, visible.messages[-1].index) if visible.more else (ChatId(2**63 - 1), 0)
            left = [(chat, max(low, last[1] + 1) if chat == last[0] else low, high) for chat, low, high in left]
            left = [(chat, low, high) for chat, low, high in left if (chat, high) > last and low <= high]
        return messages

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (ValueError, OSError, RuntimeError) as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "the search index cannot be read, please try again") from error

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)


def _parsed(request: SearchMessages) -> SearchQuery:
    """Checks and parses the request. Raises QueryError and RequestError."""
    if len(request.query) > MAX_QUERY:
        raise RequestError(ErrorCode.TOO_LARGE, f"a query has {MAX_QUERY} characters at most", "query")
    if not 1 <= request.count <= MAX_HITS:
        raise RequestError(ErrorCode.INVALID, f"a page has 1 to {MAX_HITS} messages", "count")
    if not 0 <= request.context <= MAX_CONTEXT:
        raise RequestError(ErrorCode.INVALID, f"a hit has 0 to {MAX_CONTEXT} messages around it", "context")
    return parse(request.query, request.zone)


def _wanted(request: SearchMessages, parsed: SearchQuery, sender: AccountId) -> Wanted:
    """Combines the filters in the query with the filters in the other fields of the request."""
    kinds = parsed.has | {request.has} if request.has else parsed.has
    bounds = [max(one, 1) for one in (request.before or None, parsed.before) if one is not None]
    wanted = Wanted(
        required(parsed), forbidden(parsed), sender, kinds,
        max(request.after, parsed.after or 0), min(bounds, default=0), request.place, request.oldest_first,
    )  # fmt: skip
    is_narrowed = request.chat or parsed.chat or sender or kinds or wanted.after or wanted.before
    if not wanted.required and not is_narrowed:
        raise RequestError(ErrorCode.INVALID, "the query has no word and no filter", "query", reason=Reason.MISSING)
    return wanted


def _hits(
    messages: Mapping[Place, Message], found: Iterable[FoundPlace], parsed: SearchQuery, request: SearchMessages
) -> list[SearchHit]:
    return [hit for one in found if (hit := _hit(messages, one, parsed, request)) is not None]


def _hit(
    messages: Mapping[Place, Message], found: FoundPlace, parsed: SearchQuery, request: SearchMessages
) -> SearchHit | None:
    """The hit; None if the message no longer matches, or the actor may not read it."""
    chat, index = found.chat, found.place
    message = messages.get((chat, index))
    segments = segments_of(message.body) if message is not None else ()
    if message is None or not segments:
        return None
    text = text_of(segments)
    found_marks, kinds = marks(text, parsed), parsed.has | ({request.has} if request.has else set())
    if found_marks is None or not kinds <= kinds_of(segments, text):
        return None
    return SearchHit(chat, index, message.id, message.sender, message.time, *excerpt(text, found_marks))


def _around(messages: Mapping[Place, Message], hits: Iterable[SearchHit], request: SearchMessages) -> list[Message]:
    """The messages around the hits, by chat and index, without the hits unless they are requested."""
    own, context = {(one.chat, one.index) for one in hits}, request.context
    near = {(chat, index + off) for chat, index in own for off in range(-context, context + 1)}
    return [messages[place] for place in sorted(near if request.with_hits else near - own) if place in messages]


_MAX_ENTRIES = 500_000
"""The most chats in all lists together. They take tens of MiB."""
_MAX_CHANGED = 50
"""The most chats with changed members. If there are more, all lists are dropped."""
_KEPT_SECONDS = 300.0
"""The time for which a list is valid. The time is limited, because a process that dies may not have announced a
change."""

FirstIndexes = dict[ChatId, int]


class ChatLists:
    """Caches the chats of accounts that search, with the first index that the account may see in each. If the session
    service must list ten thousand chats, this takes longer than the search itself. Lists are corrected when session
    announces changed members. Each hit is checked again, so an outdated list shows no forbidden messages. `of` raises
    RequestError."""

    def __init__(
        self,
        list_chats: Callable[[ListChats], Awaitable[ChatList]],
        membership: Callable[[GetMembership], Awaitable[Membership]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._list_chats = list_chats
        self._membership = membership
        self._clock = clock
        self._lists: dict[AccountId, tuple[float, FirstIndexes]] = {}
        """Each list with the time when it was read. The least recently used list comes first."""
        self._entries = 0
        self._changed: set[ChatId] = set()
        self._corrections = 0
        """How often lists were corrected or dropped. A list that is being read meanwhile may be outdated."""
        self._correcting = asyncio.Lock()
        self._versions: dict[ChatId, int] = {}
        """The versions at the last corrections of chats with many members, which are not all read again."""

    def announce(self, message: MembershipVersions) -> None:
        """Note that the members of these chats have changed."""
        self._changed |= message.versions.keys()
        if len(self._changed) > _MAX_CHANGED:
            self.lost()

    def lost(self, _reason: str = "") -> None:
        """Drop all lists, because announcements may be missing."""
        self._lists.clear()
        self._changed.clear()
        self._entries = 0
        self._corrections += 1

    async def of(self, account: AccountId) -> FirstIndexes:
        """The list of the account. The caller must not change it."""
        async with self._correcting:
            await self._correct()
        read, found = self._lists.pop(account, (0.0, None))
        if found is not None:
            self._entries -= len(found)
        if found is None or self._clock() - read > _KEPT_SECONDS:
            corrections, read = self._corrections, self._clock()
            found = await self._read(account)
            if corrections != self._corrections:
                return found
        self._keep(account, read, found)
        return found

    def _keep(self, account: AccountId, read: float, found: FirstIndexes) -> None:
        if (other := self._lists.pop(account, None)) is not None:
            self._entries -= len(other[1])
        self._lists[account] = (read, found)
        self._entries += len(found)
        while self._entries > _MAX_ENTRIES and len(self._lists) > 1:
            _, dropped = self._lists.pop(next(iter(self._lists)))
            self._entries -= len(dropped)

    async def _read(self, account: AccountId) -> FirstIndexes:
        page = await self._list_chats(ListChats(account))
        found = {one.chat: one.first_index for one in page.entries}
        while page.more:
            page = await self._list_chats(ListChats(account, page.entries[-1].chat))
            found |= {one.chat: one.first_index for one in page.entries}
        return found

    async def _correct(self) -> None:
        changed, self._changed = self._changed, set()
        self._corrections += bool(changed)
        if not self._lists:
            return
        try:
            for chat in changed:
                await self._correct_chat(chat)
        except RequestError:
            self.lost()
            raise

    async def _correct_chat(self, chat: ChatId) -> None:
        since = self._versions.get(chat, 0)
        page = await self._membership(GetMembership(chat, since))
        if page.version < since:  # the database of session was restored
            since, page = 0, await self._membership(GetMembership(chat))
        version, is_large, members = page.version, page.more or since > 0, page.members
        while page.more:
            page = await self._membership(GetMembership(chat, since, (members[-1].version, members[-1].account)))
            members = members + page.members
        if is_large:
            self._versions[chat] = version
        for one in members:
            if one.account not in self._lists:
                continue
            _, found = self._lists[one.account]
            before = len(found)
            found.pop(chat, None)
            if one.role is not Role.LEFT:
                found[chat] = one.first_index
            self._entries += len(found) - before
