"""A replica whose database does not work for it leaves its requests to the others, if there are any: it may be cut off
from a database that works for them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from services.message.adapters.ownership import Ownership
from shared.bus.client import Bus
from shared.telemetry import log

_log = log(__name__)

_INTERVAL_SECONDS = 1.0

Failures = Callable[[], Awaitable[Mapping[str, str]]]
"""The error of each dependency that does not work."""


class Withdrawal:
    def __init__(self, bus: Bus, ownership: Ownership, failures: Failures) -> None:
        self._bus = bus
        self._ownership = ownership
        self._failures = failures

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            error = (await self._failures()).get("database", "")
            if self._ownership.withdrawn and not error:
                self._ownership.withdrawn = False
                await self._bus.serve_queues(True)
                _log.info("serves again")
            elif not self._ownership.withdrawn and error and self._ownership.has_others():
                self._ownership.withdrawn = True
                _log.warning("leaves its requests to other replicas: its database does not work", error=error)
                await self._bus.serve_queues(False)
