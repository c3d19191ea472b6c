"""The message service: its parts, connected; its start and its orderly end.

Ready means that NATS and the database answer. Without Redis it goes on: every edge is told of everything, and session
is asked for each chat's members every second.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial

from services.message.adapters.fanout import Fanout
from services.message.adapters.roster_cache import Memberships
from services.message.dashboard import BOARD
from services.message.metrics import Metrics
from services.message.router import route
from services.message.service.posting import Batcher
from services.message.service.queries import Messages
from services.message.store import Store
from services.message.tracing import TracedBatcher
from shared.bus.client import Bus
from shared.contract.ids import ChatId
from shared.contract.session import ChatList, GetMembership, ListChats, Membership
from shared.contract.subjects import GET_MEMBERSHIP, LIST_CHATS
from shared.database import Database, wait_until_available
from shared.migrate import require_current
from shared.ops import OpsServer
from shared.presence import Presence
from shared.process import cancel_on, tracing
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

_log = log(__name__)

_MEMBERSHIP_SECONDS = 3.0
_LIST_SECONDS = 5.0
_DRAIN_SECONDS = 8.0
_OPS_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Dependencies that are not there yet are waited for."""
    registry = new_registry()
    metrics = Metrics(registry)
    tracer = tracing(settings, "message")
    pool_size = settings.database.pool_size
    database = Database(settings.database_url("message"), pool_size=pool_size, registry=registry, tracer=tracer)
    presence = Presence(settings.redis, registry)
    bus = Bus(settings.nats, "message", registry, tracer)

    async def membership(request: GetMembership) -> Membership:
        return await bus.request(GET_MEMBERSHIP, request, seconds=_MEMBERSHIP_SECONDS, retry=True)

    async def list_chats(request: ListChats) -> ChatList:
        return await bus.request(LIST_CHATS, request, seconds=_LIST_SECONDS, retry=True)

    async def versions(chats: Iterable[ChatId]) -> Mapping[ChatId, int]:
        return (await presence.lookup(chats=chats)).versions

    store = Store(database)
    memberships = Memberships(membership, metrics)
    fanout = Fanout(bus.publish, presence, memberships, metrics, settings.message)
    parts = store, memberships, presence, fanout, metrics, settings.message, bus.flush
    batcher = Batcher(*parts) if tracer is None else TracedBatcher(*parts, tracer)
    route(bus, batcher, Messages(store, memberships, list_chats, versions, settings.message))
    ops = OpsServer(settings.ops, registry, {"nats": bus.check, "database": store.check}, BOARD)
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await cancel_on(stopping, _start(database, bus))
        if not stopping.is_set():
            await _work(batcher, fanout, bus, ops, stopping)
    finally:
        ops.draining = True
        await bus.stop()
        await memberships.close()
        await presence.close()
        await database.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()


async def _start(database: Database, bus: Bus) -> None:
    """Wait for the database, then for the broker. Raises NotMigrated."""
    await wait_until_available(partial(database.read, partial(require_current, "message")))
    await bus.start()
    _log.info("message serves")


async def _work(batcher: Batcher, fanout: Fanout, bus: Bus, ops: OpsServer, stopping: asyncio.Event) -> None:
    """Until it is time to stop: then commit and answer what was taken. A replica that cannot finish takes no leave,
    so that edges miss it and sync."""
    async with asyncio.TaskGroup() as group:
        batching = group.create_task(batcher.run(), name="batcher")
        beating = group.create_task(fanout.run(), name="heartbeat")
        await stopping.wait()
        ops.draining = True
        await bus.drain()
        batcher.close()
        finished, _ = await asyncio.wait({batching}, timeout=_DRAIN_SECONDS)
        batching.cancel()
        beating.cancel()
    if finished:
        await fanout.farewell()
    else:
        _log.warning("not everything was committed in time")
