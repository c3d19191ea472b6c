"""Keeps the search index: after the commit of messages, beside all requests, by the replica that owns the first chat.

It compares how far each chat has come with how far the index has. So it finds new messages, edits and recalls,
and all that an interrupted process or an older version has left.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from services.message.metrics import MessageMetrics
from services.message.store.posting import PostCounts
from services.message.store.search_index import Behind, IndexBatch, IndexPage
from shared.contract.errors import RequestError
from shared.contract.ids import ChatId
from shared.telemetry import log

_log = log(__name__)
INTERVAL_SECONDS = 1.0
_LONGEST_INTERVAL_SECONDS = 30.0
_REST_RATIO = 2.0
"""After each pass over all chats, it rests for so many times the time that the pass took."""
_PAUSE_RATIO = 3.0
"""After each transaction, it pauses for at least so many times the time that the transaction took."""
_RATIO_PER_POST = 0.1
"""For each message that is posted in a second, it pauses for so many more times."""
_PATIENT_SECONDS = 60.0
"""A pass that lasts longer pauses no longer than lets the index keep up with the posts."""
_SURPLUS = 1.25
"""Messages that are indexed, then, for each one that is posted."""
_LONGEST_PAUSE_SECONDS = 2.0
_SHORTEST_SECONDS = 0.001
"""From one transaction to the next, to tell the rate of posts."""
_CHATS = 64


class SearchIndex(Protocol):
    posted: PostCounts

    async def find_unindexed(self, after: int) -> IndexPage: ...

    async def read_unindexed(self, behind: Sequence[Behind]) -> IndexBatch: ...

    async def write_index(self, batch: IndexBatch) -> int: ...

    async def remove_from_index(self, chat: ChatId) -> bool: ...

    async def first_indexed(self) -> ChatId | None: ...


async def run(work: Callable[[], Awaitable[None]], is_elected: Callable[[], bool]) -> None:
    """Repeats the work until it is cancelled."""
    rest = INTERVAL_SECONDS
    while True:
        await asyncio.sleep(rest)
        began = time.monotonic()
        if is_elected():
            try:
                await work()
            except RequestError as error:
                _log.warning("the search index is not written now", error=str(error))
        rest = min(max(INTERVAL_SECONDS, (time.monotonic() - began) * _REST_RATIO), _LONGEST_INTERVAL_SECONDS)


class SearchIndexer:
    def __init__(self, store: SearchIndex, metrics: MessageMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._pace = IndexPace(store)

    async def tick(self) -> None:
        """Bring the index of all chats up to date. Raises RequestError; what is written stays."""
        self._pace.start()
        after: int | None = 0
        while after is not None:
            began = time.monotonic()
            page = await self._store.find_unindexed(after)
            for start in range(0, len(page.behind), _CHATS):
                await self._index([*page.behind[start : start + _CHATS]])
            for chat in page.orphans:
                await _remove(self._store, chat, self._pace)
            after = page.last
            await self._pace.pause(began)

    async def _index(self, behind: list[Behind]) -> None:
        """Those of which a batch has a part come first again, from the point that it has come to."""
        while behind:
            began = time.monotonic()
            batch = await self._store.read_unindexed(behind)
            written = await self._store.write_index(batch)
            self._metrics.indexed.inc(written)
            reached = {chat: upto for chat, (_, upto) in batch.chats.items()}
            behind = [
                one._replace(indexed=reached[one.chat], is_signed=True) if one.chat in reached else one
                for one in behind
            ]
            behind = [one for one in behind if not one.is_done]
            await self._pace.pause(began, written)


async def clear(store: SearchIndex) -> None:
    """Delete the index."""
    pace = IndexPace(store)
    while (chat := await store.first_indexed()) is not None:
        await _remove(store, chat, pace)


async def _remove(store: SearchIndex, chat: ChatId, pace: "IndexPace") -> None:
    done = False
    while not done:
        began = time.monotonic()
        done = await store.remove_from_index(chat)
        await pace.pause(began)


class IndexPace:
    """Leaves the database and the processor to posts: most of both for the first minute of a pass, so that a burst of
    messages is indexed after it; then as much as the index needs to keep up with a stream that never ends. It takes no
    more than a part that shrinks with the number of posts that share a transaction, and so with the load: under a full
    load it falls behind."""

    def __init__(self, store: SearchIndex) -> None:
        self._store = store
        self._seen = store.posted
        self._looked = time.monotonic()
        self.start()

    def start(self) -> None:
        """Begin a pass."""
        self._started = time.monotonic()

    async def pause(self, began: float, written: int = 0) -> None:
        """After a transaction that began then, and has indexed so many messages."""
        now = time.monotonic()
        await asyncio.sleep(min((now - began) * self.ratio(now, now - began, written), _LONGEST_PAUSE_SECONDS))

    def ratio(self, now: float, took: float, written: int) -> float:
        """Of the pause to the time that the transaction took, in seconds."""
        messages, batches = (count - before for count, before in zip(self._store.posted, self._seen, strict=True))
        rate = messages / max(now - self._looked, _SHORTEST_SECONDS)
        self._seen, self._looked = self._store.posted, now
        patient = _PAUSE_RATIO + rate * _RATIO_PER_POST
        if now - self._started < _PATIENT_SECONDS or not rate:
            return patient
        keeps_up = written / (rate * _SURPLUS) / max(took, _SHORTEST_SECONDS) - 1
        return max(_PAUSE_RATIO + messages / batches, min(keeps_up, patient))
