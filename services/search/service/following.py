"""Follows the messages: reads what is new in chats that message announces, and compares the positions of all chats at
the start, at intervals and whenever an announcement may be lost. Message ids are no position: replicas commit them out
of order.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

from services.search.index.directory import IndexDirectory
from services.search.index.message_index import MessageIndex
from services.search.metrics import SearchMetrics
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.contract.following import (
    ANNOUNCE_SECONDS,
    MAX_FOLLOWED,
    FollowChats,
    HeadPosition,
    ListPositions,
    MovedChats,
    News,
    PositionPage,
)
from shared.contract.ids import ChatId
from shared.tasks import growing_pauses
from shared.telemetry import log

T = TypeVar("T")

_log = log(__name__)
_LAG_MS = int(ANNOUNCE_SECONDS * 1000) + 600
"""Within it, a committed message is announced."""
_DISCONNECTED_MS = 10_000
"""Within it, a lost connection is noticed."""
_COMPARE_SECONDS = 300.0
_EXPIRE_SECONDS = 3600.0
_COMMIT_MESSAGES, _COMMIT_SECONDS = 50_000, 5.0
_PAUSE_RATIO, _BUSY_PAUSE_RATIO = 1.0, 20.0
"""After what a request to message has brought is written, for so many times the time that both took; the second while
others want the processors."""
_BUSY = 1.3
"""Others want them when writing takes so many times its CPU time: the thread runs only when nobody else does."""
_GRACE_SECONDS = 0.002
_LONGEST_REST_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_FAILURES = 4
"""In a row, after which the index is rebuilt."""
_DAY_MS = 86_400_000
_NEVER = 2**63


class Feed(Protocol):
    """The message service. Raises RequestError."""

    async def positions(self, request: ListPositions) -> PositionPage: ...

    async def news(self, request: FollowChats) -> News: ...


class IndexFailed(Exception):
    """The index cannot be read or written."""


class _OtherDatabase(Exception):
    """The index is not of this database, or is ahead of it."""


class Follower:
    """All that writes happens in one thread, at a low priority. Times are Unix milliseconds."""

    def __init__(
        self,
        feed: Feed,
        directory: IndexDirectory,
        metrics: SearchMetrics,
        retention_days: float = 0.0,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._feed = feed
        self._directory = directory
        self._metrics = metrics
        self._retention_ms = int(retention_days * _DAY_MS)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "index", initializer=_lower_priority)
        self._wake = asyncio.Event()
        self._moved: set[ChatId] = set()
        self._moved_since: int | None = None
        """All that was committed before it is in the index, or in work."""
        self._following_since: int | None = None
        self._doubt_since: int | None = 0
        """An announcement after it may be lost; 0: nothing has been compared yet."""
        self._heard: dict[str, tuple[int, int, int]] = {}
        """Of each replica: the epoch and number of the last announcement, and when it came."""
        self._index: MessageIndex | None = None
        self._epoch = ""
        self._compared = self._expired = self._committed = 0.0

    # What message announces

    def receive(self, moved: MovedChats) -> None:
        now, heard = self._clock(), self._heard.get(moved.replica)
        if heard is None or heard[:2] != (moved.epoch, moved.number - 1):
            self.doubt(heard[2] if heard is not None else now)
        self._heard[moved.replica] = (moved.epoch, moved.number, now)
        self._moved.update(moved.chats)
        if self._moved_since is None:
            self._moved_since = now - _LAG_MS
        self._wake.set()

    def connection_lost(self, _reason: str) -> None:
        self.doubt(self._clock() - _DISCONNECTED_MS)

    def doubt(self, since: int) -> None:
        self._doubt_since = since if self._doubt_since is None else min(since, self._doubt_since)
        self._wake.set()

    def indexed_to(self) -> int:
        """All messages that were sent until then are in the index."""
        bounds = (self._doubt_since, self._following_since, self._moved_since, self._clock() - _LAG_MS)
        return max(0, min(one for one in bounds if one is not None))

    # The loop

    async def run(self) -> None:
        """Until cancelled."""
        pauses, failures = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS), 0
        while True:
            try:
                await self.catch_up()
                pauses, failures = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS), 0
                self._show()
                await self._wait()
                continue
            except RequestError as error:
                _log.warning("messages are not followed now", error=str(error))
            except IndexFailed as error:
                failures = await self._recover(failures + 1)
                _log.warning("the index is not written now", error=str(error))
                self._metrics.failures.inc()
            except _OtherDatabase:
                await self._rebuild("it is not of this database")
            self.doubt(min(self._clock() - _LAG_MS, self._following_since or _NEVER))
            self._following_since = None
            self._show()
            await asyncio.sleep(next(pauses))

    async def catch_up(self) -> None:
        """Bring the index up to date. Raises RequestError, IndexFailed."""
        if self._index is not None and not await self._in_thread(lambda index: index.exists, self._index):
            await self._rebuild("it was deleted")
        if self._index is None or self._doubt_since is not None or time.monotonic() > self._compared + _COMPARE_SECONDS:
            await self._compare()
        while self._moved:
            chats, self._moved = sorted(self._moved), set()
            self._following_since, self._moved_since = self._moved_since, None
            await self._follow(chats)
            await self._commit()
            self._following_since = None
        if self._retention_ms and time.monotonic() > self._expired + _EXPIRE_SECONDS:
            await self._in_thread(lambda index: index.expire(self._clock() - self._retention_ms))
            await self._commit()
            self._expired = time.monotonic()

    async def _wait(self) -> None:
        """Nothing is done while nothing moves."""
        if not self._moved and self._doubt_since is None:
            self._wake.clear()
            try:
                async with asyncio.timeout(_COMPARE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _compare(self) -> None:
        """With all chats. What moves meanwhile is announced."""
        doubt, began = self._doubt_since, self._clock()
        after: ChatId | None = ChatId(0)
        while after is not None:
            page = await self._feed.positions(ListPositions(after))
            index = await self._open(page.epoch)
            heads = page.positions
            known = await self._positions([one.chat for one in heads], index)
            if any(ours.index > head.index or ours.rev > head.rev for ours, head in zip(known, heads, strict=True)):
                raise _OtherDatabase
            await self._follow([head.chat for ours, head in zip(known, heads, strict=True) if ours != head])
            after = heads[-1].chat if page.more else None
            await asyncio.sleep(0)
        await self._commit()
        await self._in_thread(lambda _index: self._directory.complete())
        self._compared = time.monotonic()
        if self._doubt_since == doubt or (self._doubt_since or 0) < began:
            self._doubt_since = None

    async def _open(self, epoch: str) -> MessageIndex:
        if self._index is None:
            self._index, self._epoch = await self._in_thread(lambda _: self._directory.open(epoch)), epoch
        elif epoch != self._epoch:
            raise _OtherDatabase
        return self._index

    async def _follow(self, chats: Sequence[ChatId]) -> None:
        for start in range(0, len(chats), MAX_FOLLOWED):
            some = chats[start : start + MAX_FOLLOWED]
            behind = await self._positions(some)
            while behind:
                began = time.monotonic()
                news = await self._feed.news(FollowChats(behind))
                is_busy = await self._write(news)
                behind = _left(behind, news)
                if self._is_commit_due():
                    await self._commit()
                ratio = _BUSY_PAUSE_RATIO if is_busy else _PAUSE_RATIO if behind else 0
                await asyncio.sleep(min((time.monotonic() - began) * ratio, _LONGEST_REST_SECONDS))

    async def _positions(self, chats: Sequence[ChatId], index: MessageIndex | None = None) -> list[HeadPosition]:
        return await self._in_thread(lambda index: index.positions(chats), index)

    async def _write(self, news: News) -> bool:
        """Returns whether others want the processors."""

        def write(index: MessageIndex) -> bool:
            began, cpu = time.monotonic(), time.thread_time()
            index.write(news.chats)
            return time.monotonic() - began > _BUSY * (time.thread_time() - cpu) + _GRACE_SECONDS

        is_busy = await self._in_thread(write)
        self._metrics.indexed.inc(sum(len(one.messages) + len(one.changed) for one in news.chats))
        return is_busy

    def _is_commit_due(self) -> bool:
        written = 0 if self._index is None else self._index.written
        return written >= _COMMIT_MESSAGES or time.monotonic() > self._committed + _COMMIT_SECONDS

    async def _commit(self) -> None:
        with self._metrics.commit_seconds.time():
            await self._in_thread(lambda index: index.commit())
        self._committed = time.monotonic()
        self._show()

    def _show(self) -> None:
        self._metrics.waiting.set(len(self._moved))
        if self._index is not None:
            self._metrics.documents.set(self._index.documents)

    # Failures

    async def _recover(self, failures: int) -> int:
        """Returns how many failures in a row may be due to the index. On a full disk it is kept: it still answers."""
        if self._index is None:
            return failures
        self._index.give_up()
        if not await asyncio.get_running_loop().run_in_executor(self._thread, self._directory.has_room):
            return 0
        if failures >= _FAILURES:
            await self._rebuild("it cannot be written")
        return failures

    async def _rebuild(self, reason: str) -> None:
        _log.warning("the index is rebuilt", reason=reason)
        self._metrics.rebuilds.inc()
        self._index = None
        self._doubt_since = 0
        await asyncio.get_running_loop().run_in_executor(self._thread, self._directory.clear)

    async def _in_thread(self, work: Callable[[MessageIndex], T], index: MessageIndex | None = None) -> T:
        """Raises IndexFailed."""
        index = index or self._index

        def run() -> T:
            return work(index)  # type: ignore[arg-type]

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except (ValueError, OSError, RuntimeError) as error:
            raise IndexFailed(str(error)) from error

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)


def _left(behind: Sequence[HeadPosition], news: News) -> list[HeadPosition]:
    """What is to be requested next."""
    last = news.chats[-1].position.chat if news.chats else ChatId(0)
    further = [one.position for one in news.chats if one.more]
    return further + ([one for one in behind if one.chat > last] if news.more else [])


def _lower_priority() -> None:
    """Of this thread, and of those that it starts: they run when nobody else wants to."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
