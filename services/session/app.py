"""The session service: its parts, connected; its start and its orderly end.

Ready means that NATS and the database answer. Without Redis it goes on: edges are all told of everything, and
versions are published when Redis is back.
"""

import asyncio
from functools import partial

from services.session.adapters.edge_notifier import Notices
from services.session.dashboard import BOARD
from services.session.metrics import Metrics
from services.session.router import route
from services.session.service.accounts import Accounts
from services.session.service.announcements import Announcements
from services.session.service.chats import Chats
from services.session.service.friends import Friends
from services.session.service.memberships import Joins
from shared.bus.client import Bus
from shared.contract.ids import ChatId
from shared.contract.message import GetHeads
from shared.contract.subjects import GET_HEADS
from shared.database import Database, wait_until_available
from shared.migrate import require_current
from shared.ops import OpsServer
from shared.presence import Presence
from shared.process import cancel_on, tracing
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

_log = log(__name__)

_HEAD_SECONDS = 3.0
_OPS_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Dependencies that are not there yet are waited for."""
    registry = new_registry()
    metrics = Metrics(registry)
    tracer = tracing(settings, "session")
    pool_size = settings.database.pool_size
    database = Database(settings.database_url("session"), pool_size=pool_size, registry=registry, tracer=tracer)
    presence = Presence(settings.redis, registry)
    bus = Bus(settings.nats, "session", registry, tracer)
    notices = Notices(bus, presence, metrics)

    async def head(chat: ChatId) -> int:
        heads = await bus.request(GET_HEADS, GetHeads([chat]), seconds=_HEAD_SECONDS, retry=True)
        return heads.heads.get(chat, 0)

    chats = Chats(database, notices, metrics, settings)
    joins = Joins(database, notices, head, settings)
    accounts = Accounts(database, notices, joins, metrics, settings)
    announcements = Announcements(database, notices, presence.lookup, metrics, settings)
    route(bus, accounts, chats, joins, Friends(database, notices, settings), announcements)
    ops = OpsServer(settings.ops, registry, {"nats": bus.check, "database": database.check}, BOARD)
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await cancel_on(stopping, _start(database, chats, announcements, bus))
        await presence.lookup()  # what Redis says is believed some time after the first look only
        await stopping.wait()
    finally:
        ops.draining = True
        await bus.stop()
        await notices.close()
        await presence.close()
        await database.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()


async def _start(database: Database, chats: Chats, announcements: Announcements, bus: Bus) -> None:
    """Wait for the database, then for the broker. Raises NotMigrated."""
    await wait_until_available(partial(database.read, partial(require_current, "session")))
    await wait_until_available(chats.open_lobby)
    await wait_until_available(announcements.introduce_herald)
    await bus.start()
    _log.info("session serves")
