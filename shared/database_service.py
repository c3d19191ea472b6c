"""The parts of each service with a database, and the order in which they start and end."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.contract.installation import DatabaseState
from shared.dashboard.panels import Dashboard
from shared.database import Database, wait_until_available
from shared.ops import Check, OpsServer
from shared.process import cancel_on, tracing
from shared.redis_server import require_kind
from shared.schema import require_current
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

_log = log(__name__)
_PORT_SECONDS = 2.0


class DatabaseService:
    """Wire the service, then call `open_port`, `start` and `work`. At the end, call `drain`, stop the parts that give
    work to the service, call `stop`, close the parts that the service has used, and call `close`. `database_state`: the
    values that the database shares with the databases of the other services."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        database_state: Callable[[Any], DatabaseState],
        open_database: Callable[..., Database] | None = None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._tasks = Tasks()
        self.registry, self.tracer = new_registry(), tracing(settings, name)
        opened = open_database or partial(Database, name=name)
        url, pool_size = settings.database_url(name), settings.database.pool_size
        self.database = opened(url, pool_size=pool_size, registry=self.registry, tracer=self.tracer)
        self.bus = Bus(settings.nats, name, self.registry, self.tracer)
        self.neighbours = Neighbours(self.bus, name, partial(self.database.read, database_state))

    def open_port(self, dashboard: Dashboard, check_database: Check, check_redis: Check) -> None:
        """Opens the operations port. The process is ready when NATS answers and stores events, and the database
        commits."""
        checks = {"nats": self.bus.check, "events": self.bus.check_events, "database": check_database}
        self.ops = OpsServer(self._settings.ops, self.registry, checks, dashboard, {"redis": check_redis})
        self._tasks.start(self.ops.run(), "operations port")

    async def start(self, stopping: asyncio.Event, *prepare: Callable[[], Awaitable[object]]) -> bool:
        """Waits for the database, runs `prepare`, and waits for NATS. Returns False if the service was stopped
        meanwhile. Raises StartupError."""
        await require_kind(self._settings.redis)
        await cancel_on(stopping, self._start(prepare))
        return not stopping.is_set()

    async def _start(self, prepare: tuple[Callable[[], Awaitable[object]], ...]) -> None:
        await wait_until_available(partial(self.database.read, partial(require_current, self._name)))
        for step in prepare:
            await wait_until_available(step)
        await self.bus.start(partial(wait_until_available, self.neighbours.compare))
        _log.info("service started", service=self._name)

    async def work(self, stopping: asyncio.Event, *before_draining: Callable[[], Awaitable[None]]) -> None:
        """Work until `stopping` is set; then accept no new work. If a worker fails, an exception ends the process, so
        that it is restarted."""
        await cancel_on(stopping, self.bus.watch_workers())
        self.ops.phase = "draining"
        for step in before_draining:
            await step()
        await self.bus.drain()

    async def stop(self) -> None:
        """Stops the connection to NATS, then the operations port. Call this after all parts that use Redis have
        stopped. Otherwise, a check of the operations port would connect to Redis again."""
        self.ops.phase = "draining"
        await self.bus.stop()
        self.ops.stop()
        await self._tasks.finish(_PORT_SECONDS)

    async def close(self) -> None:
        await self.database.close()
        if self.tracer is not None:
            await self.tracer.shut_down()
