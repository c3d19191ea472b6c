"""Keeps what this replica announces in step with the placement of its database."""

import asyncio
from collections.abc import Awaitable, Callable

from services.message.adapters.ownership import Ownership
from services.message.store.placed import PlacedMessageStore
from shared.contract.edge import Placement
from shared.contract.errors import RequestError

_INTERVAL_SECONDS = 0.5


class PlacementWatch:
    """`announce` sends a heartbeat."""

    def __init__(
        self, store: PlacedMessageStore, ownership: Ownership, announce: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._announce = announce

    async def start(self) -> None:
        """Raises RequestError."""
        await self._store.refresh()
        self._note()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            try:
                await self._store.refresh()
            except RequestError:
                continue  # the readiness check reports it
            if self._note():
                await self._announce()

    def _note(self) -> bool:
        """Whether it has changed. A transaction may have read the change before."""
        stored, before = self._store.placement, self._ownership.placement
        if before is not None and before.version == stored.version:
            return False
        self._ownership.placement = Placement(stored.name, stored.version, stored.partitions, stored.ranges)
        return True
