"""Keeps the index up to date. The follower reads new messages of the chats that the message service announces. At the
start, at intervals, and whenever an announcement may be lost, it compares the positions of all chats. The ids of
messages cannot serve as a position, because replicas do not commit them in order.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar

from services.search.index.directory import IndexDirectory
from services.search.index.message_index import IndexInUse, MessageIndex
from services.search.metrics import SearchMetrics
from shared.clock import now_ms, until_next
from shared.contract.errors import RequestError
from shared.contract.following import (
    ANNOUNCE_SECONDS,
    MAX_FOLLOWED,
    MAX_FOLLOWED_MESSAGES,
    UNLIMITED,
    FollowChats,
    HeadPosition,
    ListPositions,
    MovedChats,
    News,
    PositionPage,
)
from shared.contract.ids import ChatId
from shared.tasks import growing_pauses, is_set_within
from shared.telemetry import log

T = TypeVar("T")

_log = log(__name__)
_LAG_MS = int(ANNOUNCE_SECONDS * 1000) + 600
"""The longest time between the first message of a new replica and its first announcement."""
_SILENT_MS = 3_500
"""A replica that announces nothing for this long has ended without its last announcement, or cannot be heard."""
_COMPARE_SECONDS = _COMMIT_SECONDS = 300.0
_EXPIRE_SECONDS = 3600.0
_GATHER_SECONDS, _SHOW_SECONDS = 1.0, 5.0
"""The first value is the time for which new messages are collected, because indexing many together costs less. If users
send faster than messages are indexed, the indexed messages become visible after the second value."""
_PAUSE_RATIO, _BUSY_PAUSE_RATIO = 1.0, 20.0
"""The pause after a request to the message service and the write of its reply, as a multiple of the time that both
took. The second value applies while other processes want the CPU."""
_FEW, _BREATH_SECONDS = 100, 0.0002
"""These values apply while users send messages. They are the number of messages in a reply, and the pause after each
message, which lets other threads use the CPU core of this thread at once. Otherwise they would wait for the scheduler's
next tick (4 ms)."""
_SMALL_INDEX, _SMALL_PAUSE_RATIO, _OLD_PAUSE_RATIO = 20_000, 10.0, 100.0
"""While users send messages, the pause after a reply with old messages is one of these multiples of the time that the
reply took. The first one applies until the index has so many documents, so that a small index is soon complete."""
_BUSY = 1.3
"""If writing takes more than this many times the thread's CPU time, other processes need the CPU. The thread runs only
when the CPU is idle."""
_GRACE_SECONDS = 0.002
_LONGEST_REST_SECONDS = 4.0
"""With this pause, 10⁶ old messages take 11 hours if users send all the time."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_FAILURES = 4
"""The index is rebuilt after this number of failures in a row."""
_WATCH_SECONDS = 1.0
_DAY_MS = 86_400_000
_NEVER = 2**63


class IndexFailed(Exception):
    """The index cannot be read or written."""


class _OtherDatabase(Exception):
    """The index was made from another message database, or has messages that the present database lacks."""


class _Heard(NamedTuple):
    """The last announcement of a replica (see MovedChats), and the time when it arrived."""

    epoch: int
    number: int
    at: int
    until: int


class Follower:
    """Reads new messages and writes them into the index. One thread writes, with a low priority. Times are Unix
    milliseconds."""

    def __init__(
        self,
        list_positions: Callable[[ListPositions], Awaitable[PositionPage]],
        read_news: Callable[[FollowChats], Awaitable[News]],
        directory: IndexDirectory,
        metrics: SearchMetrics,
        answer: Callable[[bool], Awaitable[None]],
        retention_days: float = 0.0,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`list_positions`, `read_news`: requests to the message service. `answer` is called with whether the index has
        once contained all messages. Until then, other replicas should answer searches. All three may raise
        RequestError."""
        self._list_positions = list_positions
        self._read_news = read_news
        self._directory = directory
        self._metrics = metrics
        self._answer = answer
        self._retention_ms = int(retention_days * _DAY_MS)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "index", initializer=_lower_priority)
        self._wake = asyncio.Event()
        self._moved: set[ChatId] = set()
        self._postponed: set[ChatId] = set()
        """The chats whose announced messages may be missing in the index."""
        self._moved_since: int | None = None
        """Messages that were committed before this time are in the index, or are being indexed."""
        self._following_since: int | None = None
        self._uncommitted_since: int | None = None
        """Messages that were committed in the database before this time are in the index on disk. Later messages are
        lost from the index if its commit fails."""
        self._doubt_since: int | None = 0
        """Announcements after this time may be lost. It is 0 until all chats have been compared once."""
        self._doubts = 0
        self._heard: dict[str, _Heard] = {}
        self._sent = 0
        """When the last announcement of chats arrived."""
        self._index: MessageIndex | None = None
        self._epoch = ""
        self._compared = self._expired = self._shown = 0.0
        self._committed = time.monotonic()

    # What message announces

    def receive(self, moved: MovedChats) -> None:
        now = self._clock()
        heard = self._heard.get(moved.replica, _Heard(0, 0, now, now))
        if heard[:2] != (moved.epoch, moved.number - 1):
            self.doubt(min(heard.at, heard.until))
        self._heard[moved.replica] = _Heard(moved.epoch, moved.number, now, moved.until)
        if moved.chats:
            self._sent = now
            self._moved.update(moved.chats)
            self._moved_since = min(heard.until, now - _LAG_MS, self._moved_since or now)
            self._wake.set()

    def doubt(self, since: int) -> None:
        self._doubts += 1
        self._doubt_since = since if self._doubt_since is None else min(since, self._doubt_since)
        self._wake.set()

    def indexed_to(self) -> int:
        """All messages that were sent before this time are in the index. The time of a message is older than its
        commit, and announcements may be late, so each replica states the time up to which it has announced all."""
        bounds = (self._doubt_since, self._following_since, self._moved_since, self._clock() - _LAG_MS)
        announced = (one.until for one in self._heard.values())
        return max(0, min(one for one in (*bounds, *announced) if one is not None))

    # The loop

    async def run(self) -> None:
        """Follows the messages until it is cancelled."""
        pauses, failures = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS), 0
        while True:
            try:
                await self.catch_up()
                pauses, failures = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS), 0
                self._show()
                await self._wait()
                continue
            except RequestError as error:
                _log.warning("the message service does not answer: the index is not updated", error=str(error))
            except IndexFailed as error:
                failures = await self._recover(failures + 1)
                _log.warning("the index cannot be written, will be retried", error=str(error))
                self._metrics.failures.inc()
            except IndexInUse:
                _log.warning("another process writes to the index: each needs a directory of its own")
            except _OtherDatabase:
                await self._rebuild("the index is not of this database")
            self.doubt(min(self._clock() - _LAG_MS, self._following_since or _NEVER))
            self._following_since = None
            self._show()
            await asyncio.sleep(next(pauses))

    async def watch(self) -> None:
        """Notices until it is cancelled that replicas are silent. Their last messages may not be announced."""
        while True:
            await asyncio.sleep(until_next(_WATCH_SECONDS))
            for replica, heard in self._heard.items():
                if heard.until != UNLIMITED and self._clock() - heard.at > _SILENT_MS:
                    self.doubt(heard.until)
                    self._heard[replica] = heard._replace(until=UNLIMITED)

    async def catch_up(self) -> None:
        """Bring the index up to date. Raises RequestError, IndexFailed, IndexInUse."""
        if self._index is not None and not await self._in_thread(lambda index: index.exists, self._index):
            await self._rebuild("it was deleted")
        if self._index is None or self._doubt_since is not None or time.monotonic() > self._compared + _COMPARE_SECONDS:
            await self._compare()
        await self._follow_moved()
        if self._retention_ms and time.monotonic() > self._expired + _EXPIRE_SECONDS:
            await self._in_thread(lambda index: index.expire(self._clock() - self._retention_ms))
            await self._commit()
            self._expired = time.monotonic()

    async def _wait(self) -> None:
        """Waits until a chat has news."""
        if not self._moved and self._doubt_since is None:
            self._wake.clear()
            await is_set_within(self._wake, _COMPARE_SECONDS)

    async def _follow_moved(self) -> None:
        if self._moved:
            await self._gather()
            chats, self._moved = sorted(self._moved), set()
            self._following_since, self._moved_since = self._moved_since, None
            if self._uncommitted_since is None:
                self._uncommitted_since = self._following_since
            await self._follow(chats)
            await self._show_new()
            self._following_since = None

    async def _compare(self) -> None:
        """Compares the positions of all chats with the index. Changes after the comparison are announced."""
        doubts = self._doubts
        if self._index is None:
            await self._answer(False)
        after: ChatId | None = ChatId(0)
        while after is not None:
            page = await self._list_positions(ListPositions(after))
            index = await self._open(page.epoch)
            heads = page.positions
            known = await self._positions([one.chat for one in heads], index)
            if any(ours.index > head.index or ours.rev > head.rev for ours, head in zip(known, heads, strict=True)):
                raise _OtherDatabase
            behind = [head.chat for ours, head in zip(known, heads, strict=True) if ours != head]
            is_new = not self._directory.is_complete
            if is_new:
                # If an announced message is read together with old ones, searches find it only after the commit.
                await self._rest(0)
            seconds = await self._follow(behind, are_old=is_new)
            if not is_new:
                await self._follow_moved()
            after = heads[-1].chat if page.more else None
            await asyncio.sleep(seconds if page.more else 0)
        postponed, self._postponed = sorted(self._postponed), set()
        await self._follow(postponed)
        await self._commit()
        await self._in_thread(lambda _index: self._directory.complete())
        await self._answer(True)
        self._compared = time.monotonic()
        if self._doubts == doubts:
            self._doubt_since = None

    async def _open(self, epoch: str) -> MessageIndex:
        if self._index is None:
            self._index, self._epoch = await self._in_thread(lambda _: self._directory.open(epoch)), epoch
            await self._answer(self._directory.is_complete)
        elif epoch != self._epoch:
            raise _OtherDatabase
        return self._index

    async def _follow(self, chats: Sequence[ChatId], *, are_old: bool = False) -> float:
        """Indexes the news of these chats. Returns how long to pause before the next request. The pause is left to the
        caller, so that it does not delay messages that are indexed but not yet visible."""
        seconds = 0.0
        for start in range(0, len(chats), MAX_FOLLOWED):
            some = chats[start : start + MAX_FOLLOWED]
            behind = await self._positions(some)
            while behind:
                await asyncio.sleep(seconds)
                news, seconds = await self._index_news(behind, are_old=are_old)
                behind = _left(behind, news)
                if not are_old and time.monotonic() > self._shown + _SHOW_SECONDS:
                    await self._show_new()
                await self._commit_if_due()
                if are_old:
                    await self._rest(seconds)
                    behind, seconds = await self._positions([one.chat for one in behind]), 0.0
        return seconds

    async def _index_news(self, behind: Sequence[HeadPosition], *, are_old: bool = False) -> tuple[News, float]:
        """Requests and indexes the next news. Returns the news, and how long to pause afterwards."""
        began, are_sent = time.monotonic(), self._are_messages_sent()
        news = await self._read_news(FollowChats([*behind], _FEW if are_sent else MAX_FOLLOWED_MESSAGES))
        is_busy = await self._write(news, are_old=are_old, breath=_BREATH_SECONDS if are_sent else 0.0)
        ratio = self._old_pause_ratio() if are_old and are_sent else 0.0 if are_sent else _PAUSE_RATIO
        if is_busy:
            ratio = max(ratio, _BUSY_PAUSE_RATIO)
        return news, min((time.monotonic() - began) * ratio, _LONGEST_REST_SECONDS)

    def _old_pause_ratio(self) -> float:
        index = self._index
        is_small = index is not None and index.documents + index.written < _SMALL_INDEX
        return _SMALL_PAUSE_RATIO if is_small else _OLD_PAUSE_RATIO

    async def _rest(self, seconds: float) -> None:
        """Pauses the indexing of old messages. New messages are indexed at once."""
        ends = asyncio.get_running_loop().time() + seconds
        while True:
            self._wake.clear()
            if self._moved:
                await self._follow_newest()
            try:
                async with asyncio.timeout_at(ends):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _follow_newest(self) -> None:
        """Indexes new messages while the first index is built. Each chat gets one reply, because a chat with a long
        history would keep other chats waiting."""
        await self._gather()
        chats, self._moved, self._moved_since = sorted(self._moved), set(), None
        seconds = 0.0
        for start in range(0, len(chats), MAX_FOLLOWED):
            behind = await self._positions(chats[start : start + MAX_FOLLOWED])
            while behind:
                await asyncio.sleep(seconds)
                news, seconds = await self._index_news(behind)
                longer = {one.position.chat for one in news.chats if one.more}
                self._postponed |= longer
                behind = [one for one in _left(behind, news) if one.chat not in longer]
        await self._show_new()

    async def _gather(self) -> None:
        await asyncio.sleep(max(0.0, self._shown + _GATHER_SECONDS - time.monotonic()))

    def _are_messages_sent(self) -> bool:
        return self._clock() - self._sent < _LAG_MS

    async def _positions(self, chats: Sequence[ChatId], index: MessageIndex | None = None) -> list[HeadPosition]:
        return await self._in_thread(lambda index: index.positions(chats), index)

    async def _write(self, news: News, *, are_old: bool, breath: float) -> bool:
        """Write news into the index. Returns whether other processes need the CPU. On an idle machine, each pause lasts
        twice as long as requested."""
        count = sum(len(one.messages) + len(one.changed) for one in news.chats)

        def write(index: MessageIndex) -> bool:
            began, cpu = time.monotonic(), time.thread_time()
            index.write(news.chats, are_old=are_old, breath=breath)
            expected = time.thread_time() - cpu + 2 * breath * count
            return time.monotonic() - began > _BUSY * expected + _GRACE_SECONDS

        is_busy = await self._in_thread(write)
        self._metrics.indexed.inc(count)
        return is_busy

    async def _show_new(self) -> None:
        await self._in_thread(lambda index: index.show())
        self._shown = time.monotonic()
        await self._commit_if_due()

    async def _commit_if_due(self) -> None:
        # building the first index takes long if other processes are busy
        is_late = time.monotonic() > self._committed + _COMMIT_SECONDS
        if self._index is not None and (self._index.is_commit_due or is_late):  # a comparison also commits
            await self._commit()

    async def _commit(self) -> None:
        # this time is set even if the commit fails, so that the next reply does not cause another attempt at once
        self._committed = time.monotonic()
        with self._metrics.commit_seconds.time():
            await self._in_thread(lambda index: index.commit())
        self._uncommitted_since = self._following_since
        self._show()

    def _show(self) -> None:
        self._metrics.waiting.set(len(self._moved))
        if self._index is not None:
            self._metrics.documents.set(self._index.documents)

    # Failures

    async def _recover(self, failures: int) -> int:
        """Handles a failure. Returns the number of failures in a row that the index may have caused. If the disk is
        full, the index is kept, because it can still be searched."""
        if self._index is None:
            return failures
        self._index.give_up()
        if self._uncommitted_since is not None:
            self.doubt(self._uncommitted_since)
            self._uncommitted_since = None
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
        """Runs `work` in the thread that writes. Raises IndexFailed."""
        index = index or self._index

        def run() -> T:
            return work(index)  # type: ignore[arg-type]

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except (ValueError, OSError, RuntimeError) as error:
            raise IndexFailed(str(error)) from error

    async def close(self) -> None:
        try:
            if self._index is not None and self._index.written:
                await self._commit()
        except IndexFailed as error:
            _log.warning("the newest messages are not in the index", error=str(error))
        await asyncio.to_thread(self._thread.shutdown)
        if self._index is not None:
            self._index.give_up()


def _left(behind: Sequence[HeadPosition], news: News) -> list[HeadPosition]:
    """The positions for the next request: those of chats with further messages."""
    last = news.chats[-1].position.chat if news.chats else ChatId(0)
    further = [one.position for one in news.chats if one.more]
    return further + ([one for one in behind if one.chat > last] if news.more else [])


def _lower_priority() -> None:
    """Lowers the priority of this thread and of the threads that it starts. They then run only when the CPU is idle."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid this call
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
