"""The session service: wiring, start and graceful stop.

The service is ready when NATS answers and stores events, and the database commits. Without Redis it continues: notices
go to all edges, and versions are published once Redis is back.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any

from services.session.adapters import housekeeping
from services.session.adapters.edge_notifier import EdgeNotifier
from services.session.adapters.outgoing_hooks import DeadHooks, HttpHookPoster
from services.session.dashboard import DASHBOARD
from services.session.metrics import SessionMetrics
from services.session.router import route
from services.session.service.accounts import AccountProfiles
from services.session.service.announcements import SystemNotices
from services.session.service.chats import Chats
from services.session.service.friends import Friends
from services.session.service.hook_delivery import HookDelivery
from services.session.service.hooks import Hooks
from services.session.service.made import MadeByAccounts, Makers
from services.session.service.memberships import Memberships
from services.session.service.message_reader import MessageReader
from services.session.service.moderation import Moderation
from services.session.service.outgoing_hooks import OutgoingHooks
from services.session.service.reports import Reports
from services.session.store import CHECKED_TABLES
from services.session.store.installation import database_state
from shared.bus.client import Bus
from shared.bus.deletions import DeletionReconciler
from shared.bus.neighbours import Neighbours
from shared.contract.subjects import PRESENCE_INCOMPLETE
from shared.database import Database, wait_until_available
from shared.migrate import require_current
from shared.ops import Check, OpsServer
from shared.presence.store import Presence
from shared.process import cancel_on, tracing
from shared.redis_server import require_kind
from shared.settings import Settings
from shared.tasks import Tasks, run_beside
from shared.telemetry import log, new_registry

_log = log(__name__)

_OPS_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Waits for dependencies that do not answer yet."""
    registry = new_registry()
    metrics = SessionMetrics(registry)
    tracer = tracing(settings, "session")
    url, pool_size = settings.database_url("session"), settings.database.pool_size
    database = Database(url, name="session", pool_size=pool_size, registry=registry, tracer=tracer)
    presence = Presence(settings.redis, registry)
    bus = Bus(settings.nats, "session", registry, tracer)
    notifier = EdgeNotifier(bus, presence, metrics)

    chats = Chats(database, notifier, metrics, settings)
    reader, poster = MessageReader(bus.request), HttpHookPoster(settings.outgoing_hooks)
    makers = Makers(bus.request)
    memberships = Memberships(database, notifier, reader, makers, settings)
    accounts = AccountProfiles(database, notifier, memberships, metrics, settings)
    system = SystemNotices(database, notifier, presence, metrics, settings)
    neighbours = Neighbours(bus, "session", partial(database.read, database_state))
    delivery = HookDelivery(database, reader, poster, DeadHooks(bus).store, makers, metrics, settings)
    others = (
        memberships, Friends(database, notifier, settings), Moderation(database, notifier, settings),
        Hooks(database, makers, settings), OutgoingHooks(database, notifier, reader, makers, settings),
        MadeByAccounts(database, notifier), Reports(database, reader, metrics, settings.limits),
    )  # fmt: skip
    route(bus, neighbours, accounts, chats, system, delivery, *others)
    reconciler = DeletionReconciler(bus, accounts.unfinished_deletions, accounts.account_deleted)
    bus.subscribe(PRESENCE_INCOMPLETE, presence.receive_incomplete)
    checks: dict[str, Check] = {
        "nats": bus.check,
        "events": bus.check_events,
        "database": partial(database.check, CHECKED_TABLES),
    }
    ops = OpsServer(settings.ops, registry, checks, DASHBOARD, {"redis": presence.check})
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await require_kind(settings.redis)
        await cancel_on(stopping, _start(database, chats, system, bus, neighbours))
        if not stopping.is_set():
            await presence.lookup()  # presence is trusted only some time after the first lookup
            reconciler.start()
            if settings.outgoing_hooks.enabled:
                delivery.start()
            await _serve_until(bus, (neighbours.run(), housekeeping.run(database)), notifier, ops, stopping)
    finally:
        ops.phase = "draining"
        await reconciler.stop()
        await delivery.close()
        poster.close()
        await bus.stop()
        await notifier.close()
        await presence.close()
        await database.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()


async def _start(database: Database, chats: Chats, system: SystemNotices, bus: Bus, neighbours: Neighbours) -> None:
    """Wait for the database, then for the broker. Raises NotMigrated, DatabasesApart."""
    await wait_until_available(partial(database.read, partial(require_current, "session")))
    await wait_until_available(chats.ensure_lobby)
    await wait_until_available(system.ensure_system_account)
    await bus.start(partial(wait_until_available, neighbours.compare))
    _log.info("session serves")


async def _serve_until(
    bus: Bus,
    loops: Iterable[Coroutine[Any, Any, None]],
    notifier: EdgeNotifier,
    ops: OpsServer,
    stopping: asyncio.Event,
) -> None:
    """Serve until `stopping` is set. A process that fails does not announce its shutdown."""
    heartbeats = Tasks()
    heartbeats.start(notifier.run(), "heartbeats")
    try:
        async with run_beside(loops):
            await cancel_on(stopping, bus.watch_workers())
            ops.phase = "draining"
            await bus.drain()
    finally:
        await heartbeats.close()
    await notifier.announce_shutdown()
