"""Counters of stored bytes, for all edges together in Redis, and in each edge alone while Redis is away.

Keys: `media:bytes:<day>:<account>` and `media:bytes` (of all files), and `media:sweeper`, the node that sweeps.
"""

import time
from collections import OrderedDict

from shared.contract.ids import NodeId
from shared.redis_server import REDIS_FAILURES, redis_client
from shared.settings import RedisSettings
from shared.telemetry import log

_log = log(__name__)
_FALLBACK_SECONDS = 1.0
_LOCAL_KEYS = 100_000
_SWEEPER = "media:sweeper"
_KEY_SECONDS = 2 * 86_400
"""Life of a counter after its last change: the day of an account, or two sweeps."""


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
