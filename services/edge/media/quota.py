"""Quotas of stored bytes: of each account and day (UTC), and of all files together. They are counted for all edges
together in Redis, and in each edge alone while Redis is unavailable.

Keys: `media:bytes:<day>:<account>` and `media:bytes` (of all files), and `media:sweeper`, the node that sweeps.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.redis_server import REDIS_FAILURES, redis_client
from shared.settings import MediaSettings, RedisSettings
from shared.telemetry import log

_log = log(__name__)
_FALLBACK_SECONDS = 1.0
_LOCAL_KEYS = 100_000
_SWEEPER = "media:sweeper"
_KEY_SECONDS = 2 * 86_400
"""Life of a counter after its last change: the day of an account, or two sweeps."""
_TOTAL = ""
_FULL = "this server has no room for more pictures and files"


class MediaCounters:
    """`add`, `get` and `set` never fail: without Redis, the edge goes on from the counts that it has last seen."""

    def __init__(self, settings: RedisSettings) -> None:
        self._redis = redis_client(settings)
        self._local: OrderedDict[str, int] = OrderedDict()
        self._fallback_until = 0.0

    async def close(self) -> None:
        await self._redis.aclose()

    async def add(self, name: str, number: int) -> int:
        """Returns the sum."""
        if time.monotonic() >= self._fallback_until:
            try:
                async with self._redis.pipeline(transaction=False) as pipeline:
                    pipeline.incrby(f"media:bytes{name}", number)
                    pipeline.expire(f"media:bytes{name}", _KEY_SECONDS)
                    return self._note(name, (await pipeline.execute())[0])
            except REDIS_FAILURES as error:
                self._start_fallback(error)
        return self._note(name, self._local.get(name, 0) + number)

    async def set(self, name: str, number: int) -> None:
        self._note(name, number)
        try:
            await self._redis.set(f"media:bytes{name}", number, ex=_KEY_SECONDS)
        except REDIS_FAILURES as error:
            self._start_fallback(error)

    async def elect_sweeper(self, node: NodeId, seconds: int) -> bool:
        """Whether this node sweeps; for so long, no other node is elected. No node is while Redis is away."""
        try:
            return bool(await self._redis.set(_SWEEPER, node, nx=True, ex=seconds))
        except REDIS_FAILURES as error:
            self._start_fallback(error)
            return False

    def _note(self, name: str, number: int) -> int:
        self._local[name] = number
        self._local.move_to_end(name)
        if len(self._local) > _LOCAL_KEYS:
            self._local.popitem(last=False)
        return number

    def _start_fallback(self, error: Exception) -> None:
        self._fallback_until = time.monotonic() + _FALLBACK_SECONDS
        _log.warning("Redis is away, stored bytes are counted by this edge alone", error=repr(error))


class ByteCounters(Protocol):
    """See services.edge.media.quota.MediaCounters."""

    async def add(self, name: str, number: int) -> int: ...

    async def set(self, name: str, number: int) -> None: ...


class UnfinishedUploads:
    """The bytes of this edge's uploads that are not stored yet: of an account no more than its quota of a day, of all
    no more than that of all files, or uploads that never end would fill the disk. Pure."""

    def __init__(self, settings: MediaSettings) -> None:
        self._daily = settings.account_bytes_per_day
        self._total = settings.total_bytes
        self._sizes = Counter[AccountId]()

    def add(self, account: AccountId, size: int) -> None:
        """Raises RequestError (LIMIT), and adds nothing then."""
        if self._total and self._sizes.total() + size > self._total:
            raise RequestError(ErrorCode.LIMIT, _FULL)
        if self._daily and account != NO_ACCOUNT and self._sizes[account] + size > self._daily:
            raise RequestError(ErrorCode.LIMIT, _daily_text(self._daily))
        self._sizes[account] += size

    def remove(self, account: AccountId, size: int) -> None:
        self._sizes[account] -= size
        if not self._sizes[account]:
            del self._sizes[account]


class MediaQuota:
    """`now`: Unix milliseconds."""

    def __init__(self, counters: ByteCounters, settings: MediaSettings, now: Callable[[], int] = now_ms) -> None:
        self._counters = counters
        self._daily = settings.account_bytes_per_day
        self._total = settings.total_bytes
        self._now = now

    async def check(self, account: AccountId, size: int = 1) -> None:
        """Before an upload of at least so many bytes. Raises RequestError (LIMIT)."""
        for name, limit, text in self._limits(account):
            if await self._counters.add(name, 0) + size > limit:
                raise RequestError(ErrorCode.LIMIT, text)

    async def reserve(self, account: AccountId, size: int) -> None:
        """Before a file is stored. Raises RequestError (LIMIT)."""
        taken: list[str] = []
        for name, limit, text in self._limits(account):
            taken.append(name)
            if await self._counters.add(name, size) > limit:
                for one in taken:
                    await self._counters.add(one, -size)
                raise RequestError(ErrorCode.LIMIT, text)

    async def give_back(self, account: AccountId, size: int) -> None:
        """The file was not stored, or has been removed with the message that should show it."""
        for name, _, _ in self._limits(account):
            await self._counters.add(name, -size)

    async def measured(self, size: int) -> None:
        """The files take so many bytes together."""
        if self._total:
            await self._counters.set(_TOTAL, size)

    def _limits(self, account: AccountId) -> list[tuple[str, int, str]]:
        """Counter, limit, and the error's text."""
        limits: list[tuple[str, int, str]] = []
        if self._total:
            limits.append((_TOTAL, self._total, _FULL))
        if self._daily and account != NO_ACCOUNT:
            day = datetime.fromtimestamp(self._now() / 1000, UTC).strftime("%Y%m%d")
            limits.append((f":{day}:{account}", self._daily, _daily_text(self._daily)))
        return limits


def _daily_text(limit: int) -> str:
    return f"an account may send {limit} bytes of pictures and files a day"
