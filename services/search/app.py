"""The search service: wiring, start and orderly shutdown.

It is ready when NATS answers. Nothing waits for it: while it is away, searches are rejected, and all else goes on.
"""

import asyncio

from services.search.dashboard import DASHBOARD
from services.search.metrics import SearchMetrics
from services.search.router import route
from shared.bus.client import Bus
from shared.ops import OpsServer
from shared.process import cancel_on, tracing
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

_log = log(__name__)
_OPS_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Waits for NATS. Raises StartupError."""
    registry, tracer = new_registry(), tracing(settings, "search")
    SearchMetrics(registry).watch_disk(settings.search.directory)
    bus = Bus(settings.nats, "search", registry, tracer)
    route(bus)
    ops = OpsServer(settings.ops, registry, {"nats": bus.check}, DASHBOARD)
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await cancel_on(stopping, bus.start())
        if not stopping.is_set():
            _log.info("search service started")
            await stopping.wait()
    finally:
        ops.phase = "draining"
        await bus.stop()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()
