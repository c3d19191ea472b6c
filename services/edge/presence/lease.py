"""This node's place in presence: a lease that is refreshed; found lost, everything is registered and synced anew."""

import asyncio
import random
from collections.abc import Callable, Collection

from redis.exceptions import RedisError

from services.edge.metrics import Metrics
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.ids import AccountId, NodeId
from shared.presence import Presence
from shared.telemetry import log

_log = log(__name__)
_BEATS_PER_LEASE = 3.3
_SWEEP_EVERY = 10

Resync = Callable[[str, Collection[AccountId]], None]
"""SyncRequests these accounts, for this reason."""


class Lease:
    def __init__(
        self,
        presence: Presence,
        node: NodeId,
        residents: LocalAccounts,
        resync: Resync,
        lease_seconds: float,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._presence = presence
        self._node = node
        self._residents = residents
        self._resync = resync
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
            await self._presence.release_lease(self._node)
        except RedisError as error:
            _log.warning("lease not given back", error=repr(error))

    async def beat(self) -> None:
        """Raises RedisError."""
        beat = await self._presence.beat(self._node, self._seconds)
        if self._generation and (not beat.held or beat.generation != self._generation):
            _log.warning("presence was lost, registering again", accounts=len(self._residents))
            self._metrics.presence_lost.inc()
            self._residents.forget()
        self._generation = beat.generation
        while accounts := await self._residents.register_missing():
            self._resync("presence was not registered", accounts)
        self._beats += 1
        if self._beats % _SWEEP_EVERY == 0:
            await self._presence.sweep(random.getrandbits(16))
