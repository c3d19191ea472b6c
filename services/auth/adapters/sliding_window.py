"""Counts events in sliding windows: for all replicas together in Redis, in each process alone while Redis is away.

Keys: `limit:<kind>:…`, a JSON list of the times (Unix milliseconds) of the newest events, at most as many as the limit.
"""

import time
from collections import OrderedDict

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.auth.metrics import AuthMetrics
from services.auth.service.ports import WindowChange
from shared.redis_server import ClusterReporter
from shared.settings import RedisSettings
from shared.telemetry import log

_log = log(__name__)
_FALLBACK_SECONDS = 1.0
"""Redis is not used for this long after a failure, so that not every login waits for its timeout."""
_LOCAL_KEYS = 100_000

# KEYS[1] the list; ARGV: window in milliseconds, limit, change. Returns the count before the change.
_COUNT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local times = {}
for _, moment in ipairs(cjson.decode(redis.call('GET', KEYS[1]) or '[]')) do
  if moment > now - tonumber(ARGV[1]) then times[#times + 1] = moment end
end
local count = #times
if ARGV[3] == 'add' and count < tonumber(ARGV[2]) then times[count + 1] = now
elseif ARGV[3] == 'remove' and count > 0 then times[count] = nil
else return count end
if #times == 0 then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], cjson.encode(times), 'PX', ARGV[1]) end
return count
"""


class SlidingWindow:
    """Never fails: without Redis, this process counts alone."""

    def __init__(self, settings: RedisSettings, metrics: AuthMetrics) -> None:
        self._redis = aioredis.Redis.from_url(
            settings.url.get_secret_value(),
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._count = self._redis.register_script(_COUNT)
        self._local = LocalSlidingWindow()
        self._metrics = metrics
        self._fallback_until = 0.0
        self._cluster = ClusterReporter()

    async def close(self) -> None:
        await self._redis.aclose()

    async def check(self) -> None:
        """A round trip to Redis. Raises RedisError, OSError."""
        await self._redis.ping()

    async def change(self, key: str, seconds: float, limit: int, change: WindowChange) -> int:
        """The number of events within the last `seconds`, before this change. `add` counts one more event if the
        number is below `limit`; `remove` removes the newest."""
        if time.monotonic() >= self._fallback_until:
            try:
                arguments = [int(seconds * 1000), limit, change]
                return int(await self._count(keys=[f"limit:{key}"], args=arguments))
            except (RedisError, OSError) as error:
                self._start_fallback(error)
        self._metrics.limiter_fallbacks.inc()
        return self._local.change(key, seconds, limit, change, time.monotonic())

    async def clear(self, key: str) -> None:
        self._local.clear(key)
        try:
            await self._redis.delete(f"limit:{key}")
        except (RedisError, OSError) as error:
            self._start_fallback(error)

    def _start_fallback(self, error: Exception) -> None:
        self._fallback_until = time.monotonic() + _FALLBACK_SECONDS
        self._cluster.call_failed(error)
        _log.warning("Redis is away, limits are counted by this process alone", error=repr(error))


class LocalSlidingWindow:
    """The same without Redis, with at most `keys` keys: the least recently used are forgotten first."""

    def __init__(self, keys: int = _LOCAL_KEYS) -> None:
        self._keys = keys
        self._times: OrderedDict[str, list[float]] = OrderedDict()

    def change(self, key: str, seconds: float, limit: int, change: WindowChange, now: float) -> int:
        times = [moment for moment in self._times.pop(key, ()) if moment > now - seconds]
        count = len(times)
        if change == "add" and count < limit:
            times.append(now)
        elif change == "remove" and times:
            times.pop()
        if times:
            self._times[key] = times
        if len(self._times) > self._keys:
            self._times.popitem(last=False)
        return count

    def clear(self, key: str) -> None:
        self._times.pop(key, None)
