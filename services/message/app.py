"""The message service: wiring, start and orderly shutdown.

The service is ready when NATS answers and stores events, and the database commits. Without Redis the service continues:
every message is sent to all edges. Session is then queried for a chat's members at most once a second.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from services.message.adapters.announcing import MovedAnnouncer, PushAnnouncer, WebhookAnnouncer
from services.message.adapters.fanout import Fanout
from services.message.adapters.leadership import Leadership, Withdrawal
from services.message.adapters.member_list_cache import AnnouncementReceiver, MemberListCache
from services.message.dashboard import DASHBOARD
from services.message.metrics import MessageMetrics
from services.message.router import route, route_own
from services.message.service.changes import MessageChanges
from services.message.service.following import MessageFeed, OwnChats
from services.message.service.posting import PostingBatcher
from services.message.service.queries import MessageQueries, MessageSearch
from services.message.store import MessageStore, open_database
from services.message.store.installation import database_state
from shared.bus.deletions import DeletionReconciler
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.session import ChatList, GetMembership, ListChats, Membership
from shared.contract.subjects import HEARTBEAT, PRESENCE_INCOMPLETE
from shared.database_service import DatabaseService
from shared.presence.store import Presence
from shared.settings import Settings
from shared.tasks import run_beside
from shared.telemetry import log

_log = log(__name__)

_MEMBERSHIP_SECONDS = 3.0
_LIST_SECONDS = 5.0
_DRAIN_SECONDS = 8.0
_FIRST_CHAT = ChatId(1)


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Waits for dependencies that are not available yet. Raises StartupError."""
    service = DatabaseService("message", settings, database_state, open_database)
    registry, bus = service.registry, service.bus
    presence, metrics, webhooks = Presence(settings.redis, registry), MessageMetrics(registry), WebhookAnnouncer(bus)

    async def membership(request: GetMembership) -> Membership:
        return await bus.send(request, seconds=_MEMBERSHIP_SECONDS, retry=True)

    async def list_chats(request: ListChats) -> ChatList:
        return await bus.send(request, seconds=_LIST_SECONDS, retry=True)

    store, member_lists = MessageStore(service.database), MemberListCache(membership, metrics)
    announcements, versions = AnnouncementReceiver(member_lists), partial(_versions, presence)
    leadership = Leadership(settings.message, metrics)
    fanout = Fanout(bus.publish, presence, member_lists, metrics, settings.message, leadership, webhooks.announce)
    batcher = PostingBatcher(store, member_lists, fanout, metrics, settings.message, bus.flush, service.tracer)
    leadership.queue_seconds = batcher.queue_seconds
    queries = MessageQueries(store, member_lists, list_chats, versions, settings.message)
    own = OwnChats(store, member_lists, versions, settings.message)
    feed = MessageFeed(store, member_lists, versions, settings.message)
    search = MessageSearch(store, member_lists, versions, partial(_nodes, presence), settings.message)
    changes = MessageChanges(store, member_lists, versions, fanout, metrics, settings.message)
    route(bus, batcher, announcements.receive, queries, changes, feed, search, own)
    route_own(bus, batcher, changes, leadership.replica)
    reconciler = DeletionReconciler(bus, store.with_read_state, queries.account_deleted)
    bus.subscribe(HEARTBEAT, leadership.receive_heartbeat)
    bus.subscribe(PRESENCE_INCOMPLETE, presence.receive_incomplete)
    bus.notify_connection_lost(member_lists.announcements_lost)
    service.open_port(DASHBOARD, store.check, presence.check)
    withdrawal = Withdrawal(bus, leadership, service.ops.readiness)
    watches: list[Callable[[], Coroutine[Any, Any, None]]] = [announcements.run, withdrawal.run]
    push = PushAnnouncer(bus, leadership.replica, store.list_recent, partial(leadership.leads, _FIRST_CHAT))
    also = push.moved if settings.push.enabled else lambda _: None
    moved = MovedAnnouncer(bus.publish, store, leadership.replica, also)
    watches += [moved.run, *([push.run] if settings.push.enabled else [])]
    if days := settings.message.retention_days:
        # only one replica removes expired messages
        watches += [partial(remove_expired, store, days, partial(leadership.leads, _FIRST_CHAT), metrics)]
    try:
        if await service.start(stopping):
            reconciler.start()
            loops = [service.neighbours.run(), *(watch() for watch in watches)]
            await _work(service, batcher, fanout, loops, stopping)
    finally:
        service.ops.phase = "draining"
        await asyncio.gather(reconciler.stop(), webhooks.close(), moved.close())
        await push.publish()
        await service.stop()
        await member_lists.close()
        await presence.close()
        await service.close()


async def _versions(presence: Presence, chats: Iterable[ChatId]) -> Mapping[ChatId, int]:
    return (await presence.lookup(chats=chats)).versions


async def _nodes(presence: Presence, accounts: Collection[AccountId]) -> Mapping[AccountId, tuple[NodeId, ...]] | None:
    return (await presence.lookup(accounts)).nodes


async def _work(
    service: DatabaseService,
    batcher: PostingBatcher,
    fanout: Fanout,
    loops: Iterable[Coroutine[Any, Any, None]],
    stopping: asyncio.Event,
) -> None:
    """Runs until `stopping` is set, then commits and answers the queued requests. A replica that cannot finish does not
    announce its shutdown, so that edges notice its missing heartbeats and sync."""
    async with run_beside((fanout.run(), *loops)) as group:
        posting = group.create_task(batcher.run(), name="posting")
        await service.work(stopping, fanout.resign)
        batcher.close()
        finished, _ = await asyncio.wait({posting}, timeout=_DRAIN_SECONDS)
        posting.cancel()
    if finished:
        await fanout.announce_shutdown()
    else:
        _log.warning("shutdown before all requests were committed")


_FIRST_EXPIRY_SECONDS = 60.0
"""The pause before the first removal, and after one that has failed."""
_EXPIRY_SECONDS = 86_400.0
_PAUSE_SECONDS = 0.2
"""The pause between two transactions of a few hundred messages each."""
_DAY_MS = 86_400_000


async def remove_expired(
    store: MessageStore, days: float, is_elected: Callable[[], bool], metrics: MessageMetrics
) -> None:
    """Once a day, removes the content of messages that are older than `days`, in small steps, until it is cancelled."""
    pause = _FIRST_EXPIRY_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = _EXPIRY_SECONDS
        if is_elected():
            try:
                before = await store.clock() - int(days * _DAY_MS)  # a replica's own clock may be far ahead
                metrics.expired.inc(await expire_all(store, before, _PAUSE_SECONDS))
            except RequestError as error:
                _log.warning("expired messages were not removed: will be retried", error=str(error))
                pause = _FIRST_EXPIRY_SECONDS


async def expire_all(store: MessageStore, before: int, pause: float) -> int:
    """Examines all messages. In a database that has exchanged partitions, a higher id does not mean a later message, so
    the search cannot stop at the first message that is new enough. Returns the number of bodies replaced."""
    after: int | None = 0
    total = 0
    while after is not None:
        after, expired = await store.expire(before, after)
        total += expired
        await asyncio.sleep(pause if expired else 0.02)
    return total
