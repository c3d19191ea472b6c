"""Limits the stored bytes of each account and day (UTC), and of all files together. Redis counts them for all edges
together. While Redis is unavailable, each edge counts by itself.

Redis has four kinds of keys. `media:bytes:<day>:<account>` counts the bytes of an account, and `media:bytes` the bytes
of all files. `media:bytes:<id>` counts the uploads of a file that must be counted only once. `media:sweeper` names the
node that sweeps.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.redis_server import REDIS_FAILURES, redis_client
from shared.settings.messages import MediaSettings
from shared.settings.servers import RedisSettings
from shared.telemetry import log

_log = log(__name__)
_FALLBACK_SECONDS = 1.0
_LOCAL_KEYS = 100_000
_SWEEPER = "media:sweeper"
_KEY_SECONDS = 2 * 86_400
"""The time after its last change at which a counter expires. It is longer than the day of an account, and than the time
between two sweeps."""
_TOTAL = ""
_FULL = "this server has no room for more pictures and files"


class MediaCounters:
    """Counts bytes in Redis. `add`, `get` and `set` never fail. Without Redis, the edge continues from the counts that
    it saw last."""

    def __init__(self, settings: RedisSettings) -> None:
        self._redis = redis_client(settings)
        self._local: OrderedDict[str, int] = OrderedDict()
        self._fallback_until = 0.0

    async def close(self) -> None:
        await self._redis.aclose()

    async def add(self, name: str, number: int) -> int:
        """Add a number to a counter. Returns the sum."""
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
        """Elect this node as the sweeper, if no other node is. Returns whether this node is elected. It is the only one
        for this number of seconds. While Redis is unavailable, no node is elected."""
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
        _log.warning("Redis is unavailable: this edge counts stored bytes alone", error=repr(error))


class ByteCounters(Protocol):
    """See services.edge.media.quota.MediaCounters."""

    async def add(self, name: str, number: int) -> int: ...

    async def set(self, name: str, number: int) -> None: ...


class UnfinishedUploads:
    """The bytes of the unfinished uploads on this edge. The unfinished uploads of an account must fit into its daily
    quota, and all unfinished uploads into the quota of all files. Otherwise uploads that never end could fill the disk.
    This class is pure."""

    def __init__(self, settings: MediaSettings) -> None:
        self._daily = settings.account_bytes_per_day
        self._total = settings.total_bytes
        self._sizes = Counter[AccountId]()

    def add(self, account: AccountId, size: int) -> None:
        """Count bytes of an account. Raises RequestError (LIMIT) and counts nothing if a quota is exceeded."""
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
    """`now` is a function that returns Unix milliseconds."""

    def __init__(self, counters: ByteCounters, settings: MediaSettings, now: Callable[[], int] = now_ms) -> None:
        self._counters = counters
        self._daily = settings.account_bytes_per_day
        self._total = settings.total_bytes
        self._now = now

    async def check(self, account: AccountId, size: int = 1) -> None:
        """Check the limits before an upload of at least this size. Raises RequestError (LIMIT)."""
        for name, limit, text in self._limits(account):
            if await self._counters.add(name, 0) + size > limit:
                raise RequestError(ErrorCode.LIMIT, text)

    async def reserve(self, account: AccountId, size: int, once: str = "") -> bool:
        """Count the bytes of a file before it is stored. `once`: an id of the file, if the file may be reserved several
        times but must be counted once. Returns whether this call has counted it. Raises RequestError (LIMIT)."""
        if once and await self._counters.add(f":{once}", 0) > 0:
            return False
        taken: list[str] = []
        for name, limit, text in self._limits(account):
            taken.append(name)
            if await self._counters.add(name, size) > limit:
                await self._subtract(taken, size)
                raise RequestError(ErrorCode.LIMIT, text)
        if once and await self._counters.add(f":{once}", 1) > 1:  # a concurrent request has already counted this upload
            await self._subtract(taken, size)
            return False
        return True

    async def give_back(self, account: AccountId, size: int) -> None:
        """Subtract the bytes of a file that was not stored."""
        await self._subtract([name for name, _, _ in self._limits(account)], size)

    async def measured(self, size: int) -> None:
        """Note the measured size of all files together."""
        if self._total:
            await self._counters.set(_TOTAL, size)

    async def _subtract(self, names: Iterable[str], size: int) -> None:
        for name in names:
            await self._counters.add(name, -size)

    def _limits(self, account: AccountId) -> list[tuple[str, int, str]]:
        """For each limit: its counter, the limit, and the text of the error."""
        limits: list[tuple[str, int, str]] = []
        if self._total:
            limits.append((_TOTAL, self._total, _FULL))
        if self._daily and account != NO_ACCOUNT:
            day = datetime.fromtimestamp(self._now() / 1000, UTC).strftime("%Y%m%d")
            limits.append((f":{day}:{account}", self._daily, _daily_text(self._daily)))
        return limits


def _daily_text(limit: int) -> str:
    return f"an account may send {limit} bytes of pictures and files a day"
