"""The search service: wiring, start and orderly shutdown.

The service is ready when NATS answers, even if the index is not up to date: each reply says how far the index reaches.
No other service waits for search. While search is unavailable, only searches are rejected.
"""

import asyncio
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from services.search.dashboard import DASHBOARD
from services.search.index.directory import IndexDirectory
from services.search.metrics import SearchMetrics
from services.search.router import receive_searches, route, serve_searches
from services.search.service.answering import ChatLists, TextSearch
from services.search.service.following import Follower
from services.search.service.names import NameResolver
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.errors import StartupError
from shared.ops import OpsServer
from shared.process import cancel_on, tracing
from shared.settings import Settings
from shared.tasks import Tasks, run_beside
from shared.telemetry import log, new_registry

_log = log(__name__)
_OPS_SECONDS = 2.0
_NAME_SECONDS = 3.0
_FEED_SECONDS = 10.0
_REQUEST_SECONDS = 4.0
_SESSION_NICE = 10
"""This gives about a tenth of the share of another session, as Compose does. With the lowest priority, a new message
was found only after 45 seconds beside other programs."""


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Waits for NATS. Raises StartupError."""
    if not settings.search.enabled:
        return await _show_that_it_is_off(settings, stopping)
    _lower_session_priority()
    registry, tracer = new_registry(), tracing(settings, "search")
    metrics, bus = SearchMetrics(registry), Bus(settings.nats, "search", registry, tracer)
    directory = IndexDirectory(settings.search.directory, settings.search.memory_bytes)
    request = partial(bus.send, seconds=_REQUEST_SECONDS, retry=True)
    feed = partial(bus.send, seconds=_FEED_SECONDS)
    lists = ChatLists(request, request)
    follower = Follower(feed, feed, directory, metrics, partial(receive_searches, bus), settings.message.retention_days)
    names = NameResolver(bus.send, _NAME_SECONDS)
    search = TextSearch(directory, follower.indexed_to, lists.of, request, names, metrics)
    metrics.watch_disk(settings.search.directory)
    metrics.behind_seconds.set_function(partial(_behind_seconds, follower))
    metrics.bytes.set_function(lambda: directory.read.bytes if directory.read is not None else 0)
    route(bus, follower, lists.announce)
    bus.notify_connection_lost(lists.lost)
    ops = OpsServer(settings.ops, registry, {"nats": bus.check}, DASHBOARD)
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await cancel_on(stopping, bus.start())
        if not stopping.is_set():
            serve_searches(bus, search)
            _log.info("search service started")
            async with run_beside([follower.run(), follower.watch()]):
                await stopping.wait()
    finally:
        ops.phase = "draining"
        await bus.stop()
        await follower.close()
        await search.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()


async def _show_that_it_is_off(settings: Settings, stopping: asyncio.Event) -> None:
    """Reports that search is switched off, and waits until `stopping` is set. If the process exited at once, it would
    be restarted again and again."""

    async def fail() -> None:
        raise StartupError("search is switched off", "Set search.enabled")

    _log.info("search is switched off (search.enabled)")
    ops = OpsServer(settings.ops, new_registry(), {}, DASHBOARD, {"search": fail})
    async with run_beside([ops.run()]):
        await stopping.wait()


def _behind_seconds(follower: Follower) -> float:
    """How many seconds the index is behind. The result is 0 before the first comparison with the message service,
    because the delay is not known yet."""
    indexed_to = follower.indexed_to()
    return (now_ms() - indexed_to) / 1000 if indexed_to else 0.0


def _lower_session_priority() -> None:
    """Lowers the share of the CPU that this process's session gets while others need the CPU. Linux (autogroup) divides
    the CPU among sessions before it looks at the priorities of threads. A session with other processes is left as it
    is, because it may be that of a user's shell."""
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        with suppress(OSError):  # a kernel without autogroups has no such file, and a sandbox may forbid the write
            Path("/proc/self/autogroup").write_text(str(_SESSION_NICE))
