"""Removes the accounts of dead nodes from presence, in small steps with pauses. One elected edge does it for all.

The elected edge renews its lease with each step; when it dies, another edge begins anew.
"""

import asyncio

from redis.exceptions import RedisError

from shared.contract.ids import NodeId
from shared.presence.scripts import SHARDS
from shared.presence.store import Presence
from shared.telemetry import log

_log = log(__name__)
_PAUSE_SECONDS = 0.05
"""Between two pages: the sweep of a million accounts takes 2,000 pages, less than two minutes."""
_REST_SECONDS = 30.0
"""Between two sweeps of all shards."""


class Sweeper:
    def __init__(self, presence: Presence, node: NodeId, lease_seconds: float) -> None:
        self._presence = presence
        self._node = node
        self._seconds = lease_seconds

    async def run(self) -> None:
        wait = self._seconds
        while True:
            await asyncio.sleep(wait)
            try:
                wait = _REST_SECONDS if await self.sweep() else self._seconds
            except RedisError as error:
                _log.warning("presence not swept", error=repr(error))
                wait = self._seconds

    async def sweep(self) -> bool:
        """Sweeps all shards while this edge is the elected one. Returns whether it has swept them; no edge sweeps for a
        while then. Raises RedisError."""
        removed = 0
        for shard in range(SHARDS):
            if not await self._elected(self._seconds):
                return False
            async for number in self._presence.sweep(shard):
                removed += number
                await asyncio.sleep(_PAUSE_SECONDS)
                if not await self._elected(self._seconds):
                    return False
        if removed:
            _log.info("entries of dead nodes removed from presence", entries=removed)
        return await self._elected(_REST_SECONDS)

    async def _elected(self, seconds: float) -> bool:
        return await self._presence.elect_sweeper(self._node, seconds)
