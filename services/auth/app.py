"""The auth service: its parts, connected; its start and its orderly end.

Ready means that NATS and the database answer. Redis is no condition: without it each process counts limits alone.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from services.auth.adapters.edge_notifier import NodeNotifier
from services.auth.adapters.housekeeping import run
from services.auth.adapters.mailer import Mailer
from services.auth.adapters.outbox_relay import OutboxRelay
from services.auth.adapters.passwords import Argon2Hasher
from services.auth.adapters.signing_keys import SigningKeys
from services.auth.adapters.sliding_window import SlidingWindow
from services.auth.dashboard import DASHBOARD
from services.auth.metrics import AuthMetrics
from services.auth.router import route
from services.auth.service.accounts import Accounts
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.verification import EmailVerification
from shared.bus.client import Bus
from shared.database import Database, wait_until_available
from shared.migrate import require_current
from shared.ops import OpsServer
from shared.process import cancel_on, tracing
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

_log = log(__name__)
_OPS_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Dependencies that are not there yet are waited for.
    Raises Unprepared: without usable keys or tables it cannot serve."""
    registry = new_registry()
    metrics = AuthMetrics(registry)
    tracer = tracing(settings, "auth")
    keyring = await asyncio.to_thread(SigningKeys, settings.auth)
    pool_size = settings.database.pool_size
    database = Database(settings.database_url("auth"), pool_size=pool_size, registry=registry, tracer=tracer)
    bus = Bus(settings.nats, "auth", registry, tracer)
    counters = SlidingWindow(settings.redis, metrics)
    passwords = Argon2Hasher(settings.auth, metrics)
    relay = OutboxRelay(database, bus, metrics, tracer)
    notices = NodeNotifier(bus)
    limits = LoginLimiter(settings.limits, counters, count_failures=settings.verification.after_failed_logins > 0)
    time_limit = settings.verification.time_limit_seconds
    public_url = settings.edge.public_url.rstrip("/")
    verification = EmailVerification(time_limit, public_url, database, relay, notices, limits, metrics)
    accounts = Accounts(
        settings=settings,
        database=database,
        bus=bus,
        passwords=passwords,
        keyring=keyring,
        limits=limits,
        verification=verification,
        relay=relay,
        notices=notices,
        metrics=metrics,
    )
    route(bus, accounts, verification, Mailer(settings.mail, metrics))
    ops = OpsServer(settings.ops, registry, {"nats": bus.check, "database": database.check}, DASHBOARD)
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await cancel_on(stopping, _start(database, bus))
        if not stopping.is_set():
            upkeep = run(database, keyring, settings.auth.legacy_token_days)
            await _work(stopping, ops, bus, relay, upkeep)
    finally:
        ops.draining = True
        await bus.stop()
        await passwords.close()
        await counters.close()
        await database.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()


async def _start(database: Database, bus: Bus) -> None:
    """Wait for the database, then for the broker. Raises NotMigrated."""
    await wait_until_available(partial(database.read, partial(require_current, "auth")))
    await bus.start()
    _log.info("auth serves")


async def _work(
    stopping: asyncio.Event, ops: OpsServer, bus: Bus, relay: OutboxRelay, upkeep: Coroutine[Any, Any, None]
) -> None:
    """Until it is time to stop; then nothing new comes in, and what is committed is told. If some of it fails, the
    process does, and is started again."""
    async with asyncio.TaskGroup() as group:
        group.create_task(relay.run(), name="relay")
        keeper = group.create_task(upkeep, name="upkeep")
        await stopping.wait()
        ops.draining = True
        await bus.drain()
        keeper.cancel()
        relay.finish()
