"""The auth service: its parts, connected; its start and its orderly end.

Ready means that NATS and the database answer. Redis is no condition: without it each process counts limits alone.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from services.auth.counters import Counters
from services.auth.keys import Keyring
from services.auth.limits import Limits
from services.auth.mail import Mailer
from services.auth.metrics import Metrics
from services.auth.notices import Notices
from services.auth.passwords import Passwords
from services.auth.relay import Relay
from services.auth.router import route
from services.auth.service import Accounts
from services.auth.upkeep import keep_up
from services.auth.verification import Verification
from shared.bus import Bus
from shared.database import Database
from shared.ops import OpsServer
from shared.process import unless
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

_log = log(__name__)
_LAST_RELAY_SECONDS = 2.0
_OPS_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Raises OSError or ValueError when the keys cannot be used."""
    registry = new_registry()
    metrics = Metrics(registry)
    keyring = await asyncio.to_thread(Keyring, settings.auth)
    database = Database(settings.database_url("auth"), pool_size=settings.database.pool_size)
    bus = Bus(settings.nats, "auth", registry)
    counters = Counters(settings.redis, metrics)
    passwords = Passwords(settings.auth, metrics)
    relay = Relay(database, bus, metrics)
    notices = Notices(bus)
    verification = Verification(settings.verification.time_limit_seconds, database, relay, notices, metrics)
    accounts = Accounts(
        settings=settings,
        database=database,
        bus=bus,
        passwords=passwords,
        keyring=keyring,
        limits=Limits(settings.limits, counters, count_failures=settings.verification.after_failed_logins > 0),
        verification=verification,
        relay=relay,
        notices=notices,
        metrics=metrics,
    )
    route(bus, accounts, verification, Mailer(settings.mail, metrics))
    ops = OpsServer(settings.ops, registry, {"nats": bus.check, "database": database.check})
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await unless(stopping, bus.start())
        _log.info("auth serves")
        await _beside(stopping, relay.run(), keep_up(database, keyring, settings.auth.legacy_token_days))
    finally:
        ops.draining = True
        await bus.drain()
        await relay.finish(_LAST_RELAY_SECONDS)
        await bus.stop()
        await passwords.close()
        await counters.close()
        await database.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)


async def _beside(stopping: asyncio.Event, *work: Coroutine[Any, Any, None]) -> None:
    """Do endless work until it is time to stop. If some of it fails, the process does, and is started again."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in work]
        await stopping.wait()
        for task in tasks:
            task.cancel()
