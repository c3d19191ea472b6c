"""Announces which chats have new messages. Session gets durable events: at once for chats with outgoing webhooks, and
once a second for notifications. Search gets a NATS message that may be lost.

A lost announcement does no lasting harm. Session later compares the last indexes of these chats with the indexes that
it knows. Search notices a gap in the numbers of the announcements or their end, and then compares the positions of all
chats."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import msgspec
import nats.errors

from services.message.adapters.fanout import PublishBytes
from services.message.store import MessageStore
from shared.bus.client import Bus
from shared.clock import now_ms, until_next
from shared.contract.errors import RequestError
from shared.contract.events import OutgoingWebhooksDue
from shared.contract.following import ANNOUNCE_SECONDS, IDLE_ANNOUNCE_SECONDS, UNLIMITED, MovedChats
from shared.contract.ids import ChatId
from shared.contract.push import PushDue
from shared.contract.subjects import MOVED_CHATS, OUTGOING_WEBHOOKS_DUE, PUSH_DUE
from shared.tasks import Tasks, is_set_within
from shared.telemetry import log

_log = log(__name__)

_CHATS = 10_000
_CLOSE_SECONDS = 3.0


class WebhookAnnouncer:
    """Announces new messages of chats with outgoing webhooks. While a chat waits for its event, all its announcements
    become one event. At most `_CHATS` chats wait."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heads: dict[ChatId, int] = {}
        self._tasks = Tasks()

    def announce(self, chat: ChatId, index: int) -> None:
        """Announce that the chat has messages up to `index`."""
        if chat not in self._heads and len(self._heads) >= _CHATS:
            return
        self._heads[chat] = max(index, self._heads.get(chat, 0))
        if not self._tasks:
            self._tasks.start(self._publish(), "announce messages for webhooks")

    async def close(self) -> None:
        await self._tasks.finish(_CLOSE_SECONDS)

    async def _publish(self) -> None:
        while self._heads:
            chat = next(iter(self._heads))
            index = self._heads.pop(chat)
            try:
                await self._bus.publish_event(
                    OUTGOING_WEBHOOKS_DUE, OutgoingWebhooksDue(chat, index), key=f"{chat}.{index}"
                )
            except (nats.errors.Error, TimeoutError) as error:
                _log.debug("an event for webhooks was not stored", chat=chat, error=repr(error))


_MOVED_CHATS = 20_000
"""The most chats in one announcement."""
_pack = msgspec.msgpack.Encoder().encode


class MovedAnnouncer:
    """Announces for search which chats have new messages, and until when all messages are announced."""

    def __init__(
        self,
        publish: PublishBytes,
        store: MessageStore,
        replica: str,
        also: Callable[[set[ChatId]], None] = lambda _: None,
    ) -> None:
        """`also` is called with the same chats."""
        self._publish = publish
        self._store = store
        self._replica = replica
        self._also = also
        self._epoch, self._number = now_ms(), 0
        self._until = 0

    async def run(self) -> None:
        """Announces chats until it is cancelled, also if there are none."""
        while True:
            await self._announce(now_ms())
            try:
                async with asyncio.timeout(until_next(IDLE_ANNOUNCE_SECONDS)):
                    await self._store.wait_for_moved()
            except TimeoutError:
                continue
            await asyncio.sleep(ANNOUNCE_SECONDS)

    async def close(self) -> None:
        """Makes the last announcement. If the result of a post is still unknown, search waits for another one."""
        if self._number:
            await self._announce(UNLIMITED)

    async def _announce(self, until: int) -> None:
        if self._store.posting_since is not None:
            until = self._store.posting_since
        moved = self._store.take_moved()
        self._also(moved)
        chats = sorted(moved)
        for start in range(0, max(1, len(chats)), _MOVED_CHATS):
            if start + _MOVED_CHATS >= len(chats):
                self._until = until
            self._number += 1
            some = chats[start : start + _MOVED_CHATS]
            try:
                await self._publish(
                    MOVED_CHATS, _pack(MovedChats(self._replica, self._epoch, self._number, some, self._until))
                )
            except nats.errors.Error as error:
                _log.debug("moved chats not announced", error=repr(error))


_PUSH_SECONDS = 1.0
_SEARCH_SECONDS = 300.0
_OVERLAP_MS = 60_000
_FIRST_SEARCH_MS = 7 * 86_400_000
"""Messages that are older than this do not notify. A search reads the last index of all chats. There is no database
index of the times, because every message would have to update it."""
_PUSHED_CHATS = 1_000
"""The most chats in one event, which the session service notes in one transaction."""


class PushAnnouncer:
    """Announces for notifications which chats have new messages: at most one durable event a second for all chats. If a
    process ends before its announcement, another replica finds the chats when it searches for recent messages. A
    replica searches at its start, and while `searches` returns True."""

    def __init__(
        self,
        bus: Bus,
        replica: str,
        recent: Callable[[int], Awaitable[list[ChatId]]],
        searches: Callable[[], bool],
    ) -> None:
        """`recent`: the chats whose last message is not older than this time (Unix ms). It may raise RequestError."""
        self._bus = bus
        self._key = f"{replica}.{now_ms()}"
        self._recent = recent
        self._searches = searches
        self._numbers = count(1)
        self._chats: set[ChatId] = set()
        self._due = asyncio.Event()

    def moved(self, chats: set[ChatId]) -> None:
        self._chats |= chats
        if chats:
            self._due.set()

    async def run(self) -> None:
        """Announces chats with new messages until it is cancelled."""
        since, search_at = now_ms() - _FIRST_SEARCH_MS, 0.0
        while True:
            loop_time = asyncio.get_running_loop().time()
            if loop_time >= search_at and (not search_at or self._searches()):
                began = now_ms()
                try:
                    self.moved(set(await self._recent(since)))
                    since, search_at = began - _OVERLAP_MS, loop_time + _SEARCH_SECONDS
                except RequestError as error:
                    _log.debug("recent messages not found", error=str(error))
            await self.publish()
            await asyncio.sleep(_PUSH_SECONDS)
            await is_set_within(self._due, max(_PUSH_SECONDS, search_at - loop_time))

    async def publish(self) -> None:
        self._due.clear()
        while self._chats:
            chats = sorted(self._chats)[:_PUSHED_CHATS]
            self._chats.difference_update(chats)  # a message that comes during the publication adds its chat again
            is_stored = False
            try:
                await self._bus.publish_event(PUSH_DUE, PushDue(chats), key=f"{self._key}.{next(self._numbers)}")
                is_stored = True
            except (nats.errors.Error, TimeoutError) as error:
                _log.debug("an event for notifications was not stored", error=repr(error))
                return
            finally:
                if not is_stored:
                    self.moved({*chats})
