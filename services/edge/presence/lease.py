"""Refreshes this node's lease in presence, and compares presence with the accounts on this node. After the lease was
lost, all accounts are registered and synced again. After a difference, this is done only for accounts that were missing
in presence. While Redis cannot be reached, the accounts are announced over NATS each time that the lease should be
refreshed."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from services.edge.metrics import EdgeMetrics
from services.edge.presence.announcer import PresenceAnnouncer
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.ids import AccountId, NodeId
from shared.presence.scripts import SHARDS
from shared.presence.store import Presence
from shared.telemetry import log

_log = log(__name__)
BEATS_PER_LEASE = 3.3

MarkStale = Callable[[str, Collection[AccountId]], None]
"""Syncs these accounts again, for this reason. See services.edge.delivery.resync.Resync.mark_stale."""
_PAUSE_SECONDS = 0.05
"""The pause between two pages. The sweep of a million accounts takes 2,000 pages and less than two minutes."""
_REST_SECONDS = 30.0
"""The pause between two sweeps of all shards."""


@dataclass
class Lease:
    _presence: Presence
    _node: NodeId
    _accounts: LocalAccounts
    _mark_stale: MarkStale
    _seconds: float
    _metrics: EdgeMetrics
    _announcer: PresenceAnnouncer
    _generation: str = field(default="", init=False)

    async def run(self) -> None:
        while True:
            try:
                await self.beat()
            except RedisError as error:
                _log.warning("presence unreachable", error=repr(error))
                await self._announcer.announce_incomplete(self._accounts.present())
                self._mark_stale("presence cannot be registered", self._accounts.unregistered_to_sync())
            await asyncio.sleep(self._seconds / BEATS_PER_LEASE)

    async def release(self) -> None:
        """Release the lease on shutdown. Without Redis, the lease expires later."""
        try:
            await self._presence.release_lease(self._node)
        except RedisError as error:
            _log.warning("lease not released", error=repr(error))

    async def beat(self) -> None:
        """Refresh the lease, and register accounts that presence lacks. Raises RedisError."""
        state = await self._presence.beat(self._node, self._seconds)
        if self._generation and (not state.held or state.generation != self._generation):
            _log.warning("presence lost this node: registering again", accounts=len(self._accounts))
            self._metrics.presence_lost.inc()
            self._accounts.forget()
        self._generation = state.generation
        while registered := await self._accounts.register_missing():
            self._mark_stale("presence was not registered", registered)
        if lacking := await self._accounts.compare():
            _log.warning("presence lacked accounts, which are registered again", accounts=len(lacking))
            self._metrics.presence_lost.inc()
            self._mark_stale("presence lacked the account", lacking)
        # this call clears the accounts that were taken above, because they are marked for a sync already
        self._accounts.unregistered_to_sync()
        if not self._accounts.has_unregistered:
            await self._announcer.announce_complete()


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
        """Sweep all shards if this edge is elected. Returns whether it has swept them. If so, no edge sweeps for a
        while. Raises RedisError."""
        removed = 0
        if not await self._elected(self._seconds):
            return False
        for shard in range(SHARDS):
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
