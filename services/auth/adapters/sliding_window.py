"""Counts events in sliding windows. Redis counts the events of all replicas together. While Redis is unavailable, each
process counts its own events.

The key `limit:<kind>:…` holds a JSON list of times in Unix milliseconds. Positive numbers are the times of the newest
events, at most as many as the limit. Negative numbers are the times of running attempts. The attempts of a killed
process count as running for one more minute.
"""

import json
import time
from collections import OrderedDict
from typing import NamedTuple

from services.auth.metrics import AuthMetrics
from services.auth.service.ports import Admission, WindowChange
from shared.redis_server import REDIS_FAILURES, redis_client
from shared.settings.servers import RedisSettings
from shared.telemetry import log

_log = log(__name__)
_FALLBACK_SECONDS = 1.0
"""After a failure, Redis is not used for this time. Otherwise every login would wait for the time limit of Redis."""
_LOCAL_KEYS = 100_000
_RUNNING_SECONDS = 60
"""An attempt takes at most this time."""

# KEYS[1] is the Redis key of the list. ARGV has the window in milliseconds, the limit, the change, and the longest time
# of an attempt in milliseconds. The script returns four values: the number of events and the number of running attempts
# before the change, the time, and the new list.
_CHANGE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local window, limit, change = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local events, running, lasting = {}, {}, 0
for _, moment in ipairs(cjson.decode(redis.call('GET', KEYS[1]) or '[]')) do
  if moment > now - window then events[#events + 1] = moment
  elseif -moment > now - tonumber(ARGV[4]) then running[#running + 1] = moment end
end
local before = {#events, #running}
if change == 'begin' and #events + #running < limit then running[#running + 1] = -now end
if change == 'fail' or change == 'succeed' then table.remove(running) end
if (change == 'add' or change == 'fail') and #events < limit then events[#events + 1] = now end
for _, moment in ipairs(running) do events[#events + 1] = moment end
local list = #events == 0 and '[]' or cjson.encode(events)
if change ~= 'peek' then
  if #events == 0 then redis.call('DEL', KEYS[1])
  else redis.call('SET', KEYS[1], list, 'PX', math.max(window, tonumber(ARGV[4]))) end
end
return {before[1], before[2], now, list}
"""


class Counts(NamedTuple):
    """The counts before a change."""

    events: int
    running: int


class SlidingWindow:
    """Counts events in Redis. Implements services.auth.service.ports.EventWindow. No method fails: while Redis is
    unavailable, this process continues from the last counts that Redis returned."""

    def __init__(self, settings: RedisSettings, metrics: AuthMetrics) -> None:
        self._redis = redis_client(settings)
        self._script = self._redis.register_script(_CHANGE)
        self._local = LocalSlidingWindow()
        self._metrics = metrics
        self._fallback_until = 0.0

    async def close(self) -> None:
        await self._redis.aclose()

    async def check(self) -> None:
        """Make a round trip to Redis. Raises RedisError, OSError."""
        await self._redis.ping()

    async def add(self, key: str, seconds: float, limit: int) -> int:
        return (await self._change(key, seconds, limit, "add")).events

    async def count(self, key: str, seconds: float) -> int:
        return (await self._change(key, seconds, 0, "peek")).events

    async def begin(self, key: str, seconds: float, limit: int) -> Admission:
        counts = await self._change(key, seconds, limit, "begin")
        if counts.events >= limit:
            return Admission.FULL
        return Admission.BUSY if counts.events + counts.running >= limit else Admission.ADMITTED

    async def end(self, key: str, seconds: float, limit: int, *, failed: bool) -> None:
        await self._change(key, seconds, limit, "fail" if failed else "succeed")

    async def clear(self, key: str) -> None:
        self._local.clear(key)
        try:
            await self._redis.delete(f"limit:{key}")
        except REDIS_FAILURES as error:
            self._start_fallback(error)

    async def _change(self, key: str, seconds: float, limit: int, change: WindowChange) -> Counts:
        if time.monotonic() >= self._fallback_until:
            arguments = [int(seconds * 1000), limit, change, _RUNNING_SECONDS * 1000]
            try:
                events, running, now, moments = await self._script(keys=[f"limit:{key}"], args=arguments)
            except REDIS_FAILURES as error:
                self._start_fallback(error)
            else:
                counts = Counts(events, running)
                ages = [(now - moment) / 1000 for moment in json.loads(moments) if moment > 0]
                self._local.mirror(key, ages, _running_more(counts, limit, change), time.monotonic())
                return counts
        self._metrics.limiter_fallbacks.inc()
        return self._local.change(key, seconds, limit, change, time.monotonic())

    def _start_fallback(self, error: Exception) -> None:
        self._fallback_until = time.monotonic() + _FALLBACK_SECONDS
        _log.warning("Redis is unavailable: this process counts its limits alone", error=repr(error))


def _running_more(counts: Counts, limit: int, change: WindowChange) -> int:
    """The number by which the change has increased the running attempts of this process."""
    if change == "begin":
        return 1 if sum(counts) < limit else 0
    return -1 if change in ("fail", "succeed") else 0


class _Moments(NamedTuple):
    """The times of one key, in seconds of a monotonic clock."""

    events: list[float]
    running: list[float]
    """The running attempts of this process."""


class LocalSlidingWindow:
    """A sliding window without Redis, for at most `keys` keys; it forgets the least recently used key first."""

    def __init__(self, keys: int = _LOCAL_KEYS) -> None:
        self._keys = keys
        self._moments: OrderedDict[str, _Moments] = OrderedDict()

    def change(self, key: str, seconds: float, limit: int, change: WindowChange, now: float) -> Counts:
        events, running = self._pop(key, now)
        events = [moment for moment in events if moment > now - seconds]
        counts = Counts(len(events), len(running))
        more = _running_more(counts, limit, change)
        if change in ("add", "fail") and counts.events < limit:
            events.append(now)
        self._store(key, _Moments(events, _with_more(running, more, now)))
        return counts

    def mirror(self, key: str, ages: list[float], running_more: int, now: float) -> None:
        """Copies a change in Redis to this process's own counts. `ages`: the ages of all events in seconds.
        `running_more`: the change of the number of this process's running attempts."""
        running = self._pop(key, now).running
        self._store(key, _Moments([now - age for age in ages], _with_more(running, running_more, now)))

    def clear(self, key: str) -> None:
        self._moments.pop(key, None)

    def _pop(self, key: str, now: float) -> _Moments:
        events, running = self._moments.pop(key, _Moments([], []))
        return _Moments(events, [moment for moment in running if moment > now - _RUNNING_SECONDS])

    def _store(self, key: str, moments: _Moments) -> None:
        if moments.events or moments.running:
            self._moments[key] = moments
        if len(self._moments) > self._keys:
            self._moments.popitem(last=False)


def _with_more(running: list[float], more: int, now: float) -> list[float]:
    return [*running, now] if more > 0 else running[: len(running) + more]
