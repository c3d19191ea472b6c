"""The message service: wiring, start and orderly shutdown.

It is ready when NATS answers and stores events, and the database commits. Without Redis it continues: every message is
sent to all edges but those that announce their accounts, and session is queried for a chat's members at most once a
second.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from services.message.adapters import housekeeping
from services.message.adapters.fanout import Fanout
from services.message.adapters.hook_announcer import HookAnnouncer
from services.message.adapters.moved_chats import announce_moved
from services.message.adapters.ownership import Ownership, Withdrawal
from services.message.adapters.roster_cache import AnnouncementReceiver, RosterCache
from services.message.dashboard import DASHBOARD
from services.message.metrics import MessageMetrics
from services.message.router import route, route_own
from services.message.service.changes import MessageChanges
from services.message.service.following import MessageFeed
from services.message.service.message_search import MessageSearch
from services.message.service.posting import PostingBatcher
from services.message.service.queries import MessageQueries
from services.message.store import MessageStore
from services.message.store.installation import database_state
from shared.bus.client import Bus
from shared.bus.deletions import DeletionReconciler
from shared.bus.neighbours import Neighbours
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.session import ChatList, GetMembership, ListChats, Membership
from shared.contract.subjects import HEARTBEAT, PRESENCE_INCOMPLETE
from shared.database import Database, wait_until_available
from shared.migrate import require_current
from shared.ops import OpsServer
from shared.presence.store import Presence
from shared.process import cancel_on, tracing
from shared.redis_server import require_kind
from shared.settings import MessageSettings, Settings
from shared.tasks import Tasks, run_beside
from shared.telemetry import log, new_registry

_log = log(__name__)

_MEMBERSHIP_SECONDS = 3.0
_LIST_SECONDS = 5.0
_DRAIN_SECONDS = 8.0
_OPS_SECONDS = 2.0
_FIRST_CHAT = ChatId(1)


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Waits for dependencies that are not available yet. Raises StartupError."""
    registry, tracer, url = new_registry(), tracing(settings, "message"), settings.database_url("message")
    presence, bus = Presence(settings.redis, registry), Bus(settings.nats, "message", registry, tracer)
    metrics, hooks = MessageMetrics(registry), HookAnnouncer(bus)
    database = Database(
        url,
        name="message",
        pool_size=settings.database.pool_size,
        registry=registry,
        tracer=tracer,
        nested_loops=True,
    )

    async def membership(request: GetMembership) -> Membership:
        return await bus.request(GetMembership.route, request, seconds=_MEMBERSHIP_SECONDS, retry=True)

    async def list_chats(request: ListChats) -> ChatList:
        return await bus.request(ListChats.route, request, seconds=_LIST_SECONDS, retry=True)

    store, rosters = MessageStore(database), RosterCache(membership, metrics)
    neighbours = Neighbours(bus, "message", partial(database.read, database_state))
    announcements, tasks, versions = AnnouncementReceiver(rosters), Tasks(), partial(_versions, presence)
    ownership = Ownership(settings.message, bus.is_denied, metrics)
    fanout = Fanout(bus.publish, presence, rosters, metrics, settings.message, ownership, hooks.announce)
    batcher = PostingBatcher(store, rosters, fanout, metrics, settings.message, bus.flush, tracer)
    ownership.queue_seconds = batcher.queue_seconds
    queries = MessageQueries(store, rosters, list_chats, versions, settings.message)
    feed = MessageFeed(store, rosters, versions, settings.message)
    search = MessageSearch(store, rosters, versions, partial(_nodes, presence), settings.message)
    changes = MessageChanges(store, rosters, versions, fanout, metrics, settings.message)
    route(bus, batcher, announcements.receive, queries, changes, feed, search)
    route_own(bus, batcher, changes, ownership.replica)
    reconciler = DeletionReconciler(bus, store.with_read_state, queries.account_deleted)
    bus.subscribe(HEARTBEAT, ownership.receive_heartbeat)
    bus.subscribe(PRESENCE_INCOMPLETE, presence.receive_accounts)
    bus.notify_connection_lost(rosters.announcements_lost)
    checks = {"nats": bus.check, "events": bus.check_events, "database": store.check}
    ops = OpsServer(settings.ops, registry, checks, DASHBOARD, {"redis": presence.check})
    tasks.start(ops.run(), "operations port")
    watches = [announcements.run, Withdrawal(bus, ownership, ops.readiness).run]
    watches += [partial(announce_moved, bus.publish, store.take_moved, ownership.replica)]
    watches += _upkeep(settings.message, store, ownership, metrics)
    try:
        await require_kind(settings.redis)
        await cancel_on(stopping, _start(database, bus, neighbours))
        if not stopping.is_set():
            reconciler.start()
            await _serve_until(batcher, fanout, [neighbours.run(), *(watch() for watch in watches)], bus, ops, stopping)
    finally:
        ops.phase = "draining"
        await asyncio.gather(reconciler.stop(), hooks.close())
        await bus.stop()
        await rosters.close()
        await presence.close()
        await database.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()


async def _versions(presence: Presence, chats: Iterable[ChatId]) -> Mapping[ChatId, int]:
    return (await presence.lookup(chats=chats)).versions


async def _nodes(presence: Presence, accounts: Collection[AccountId]) -> Mapping[AccountId, tuple[NodeId, ...]] | None:
    return (await presence.lookup(accounts)).nodes


def _upkeep(
    settings: MessageSettings, store: MessageStore, ownership: Ownership, metrics: MessageMetrics
) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """By one replica: expiry."""
    days, is_elected = settings.retention_days, partial(ownership.owns, _FIRST_CHAT)
    return [partial(housekeeping.run, store, days, is_elected, metrics)] if days else []


async def _start(database: Database, bus: Bus, neighbours: Neighbours) -> None:
    """Wait for the database, then for NATS. Raises NotMigrated, DatabasesApart."""
    await wait_until_available(partial(database.read, partial(require_current, "message")))
    await bus.start(partial(wait_until_available, neighbours.compare))
    _log.info("message service started")


async def _serve_until(
    batcher: PostingBatcher,
    fanout: Fanout,
    watches: Iterable[Coroutine[Any, Any, None]],
    bus: Bus,
    ops: OpsServer,
    stopping: asyncio.Event,
) -> None:
    """Serve until `stopping` is set, then commit and answer the queued requests. A replica that cannot finish does not
    announce its shutdown, so that edges miss it and sync."""
    async with run_beside((fanout.run(), *watches)) as group:
        posting = group.create_task(batcher.run(), name="posting")
        await cancel_on(stopping, bus.watch_workers())
        ops.phase = "draining"
        await fanout.resign()
        await bus.drain()
        batcher.close()
        finished, _ = await asyncio.wait({posting}, timeout=_DRAIN_SECONDS)
        posting.cancel()
    if finished:
        await fanout.announce_shutdown()
    else:
        _log.warning("shutdown before all requests were committed")
