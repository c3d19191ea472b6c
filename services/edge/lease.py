"""This node's place in presence: a lease that is refreshed; found lost, everything is registered and synced anew."""

import asyncio
import random

from redis.exceptions import RedisError

from services.edge.delivery import Delivery
from services.edge.residents import Residents
from shared.contract.ids import NodeId
from shared.presence import Presence
from shared.telemetry import log

_log = log(__name__)
_BEATS_PER_LEASE = 3.3
_SWEEP_EVERY = 10
_SHARDS = 64


class Lease:
    def __init__(
        self, presence: Presence, node: NodeId, residents: Residents, delivery: Delivery, lease_seconds: float
    ) -> None:
        self._presence = presence
        self._node = node
        self._residents = residents
        self._delivery = delivery
        self._seconds = lease_seconds
        self._generation = ""
        self._beats = 0

    async def run(self) -> None:
        while True:
            try:
                await self.beat()
            except RedisError as error:
                _log.warning("presence unreachable", error=repr(error))
            await asyncio.sleep(self._seconds / _BEATS_PER_LEASE)

    async def end(self) -> None:
        """The node ends in order; without Redis the lease expires by itself."""
        try:
            await self._presence.retire(self._node)
        except RedisError as error:
            _log.warning("lease not given back", error=repr(error))

    async def beat(self) -> None:
        """Raises RedisError."""
        beat = await self._presence.beat(self._node, self._seconds)
        lost = bool(self._generation) and (not beat.held or beat.generation != self._generation)
        if lost:
            _log.warning("presence was lost, registering again", accounts=len(self._residents))
        missing = await self._residents.register_all(again=lost)
        self._generation = beat.generation
        if missing:
            self._delivery.disturbed("presence was not registered")
        self._beats += 1
        if self._beats % _SWEEP_EVERY == 0:
            await self._presence.sweep(random.randrange(_SHARDS))  # noqa: S311
