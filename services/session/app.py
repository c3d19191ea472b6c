"""The session service: wiring, start and graceful stop.

The service is ready when NATS answers and stores events, and the database commits. While Redis is unavailable, the
service continues: it sends events to all edges, and publishes versions when Redis is available again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from services.session.adapters.edge_notifier import EdgeNotifier
from services.session.adapters.outgoing import DeadWebhooks, HttpPushSender, HttpWebhookPoster, MailOutbox
from services.session.dashboard import DASHBOARD
from services.session.metrics import SessionMetrics
from services.session.router import route
from services.session.service.accounts import AccountProfiles, SettingsOfAccounts
from services.session.service.announcements import Announcements
from services.session.service.chats import Chats
from services.session.service.friends import Friends
from services.session.service.irc import Directory, GroupModes, Happenings, SubjectMetadata
from services.session.service.made import MadeByAccounts, Makers
from services.session.service.mail_digests import MailDigests
from services.session.service.memberships import Memberships
from services.session.service.message_reader import MessageReader
from services.session.service.moderation import Moderation, Reports
from services.session.service.push_delivery import PushDelivery, PushWays
from services.session.service.push_texts import PushTexts
from services.session.service.subscriptions import PushLogins, Subscriptions
from services.session.service.webhook_delivery import WebhookDelivery
from services.session.service.webhooks import IncomingWebhooks, OutgoingWebhooks
from services.session.store import CHECKED_TABLES, happenings, profiles, requests
from services.session.store.installation import database_state
from shared.bus.deletions import DeletionReconciler
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.model import ProfileSummary
from shared.contract.subjects import PRESENCE_INCOMPLETE
from shared.database import Database
from shared.database_service import DatabaseService
from shared.presence.store import Presence
from shared.settings import Settings
from shared.tasks import Tasks, run_beside
from shared.telemetry import log

_log = log(__name__)

_HOUSEKEEPING_SECONDS = 60.0
_DAY_MS = 86_400_000
_EXPIRED_AT_ONCE = 10_000


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Waits for dependencies that do not answer yet."""
    service = DatabaseService("session", settings, database_state)
    registry, database, bus, neighbours = service.registry, service.database, service.bus, service.neighbours
    metrics, presence = SessionMetrics(registry), Presence(settings.redis, registry)

    async def read_summaries(accounts: Sequence[AccountId]) -> Mapping[AccountId, ProfileSummary]:
        return await database.read(profiles.summaries_of, accounts, brief=True)

    notifier = EdgeNotifier(bus, presence, metrics, read_summaries)

    chats = Chats(database, notifier, metrics, settings)
    reader, poster = MessageReader(bus.send), HttpWebhookPoster(settings.outgoing_webhooks)
    makers = Makers(bus.send)
    memberships = Memberships(database, notifier, reader, makers, settings)
    accounts = AccountProfiles(database, notifier, memberships, metrics, settings)
    system = Announcements(database, notifier, presence, metrics, settings)
    delivery = WebhookDelivery(database, reader, poster, DeadWebhooks(bus).store, makers, metrics, settings)
    logins, sender, texts = PushLogins(bus.send), HttpPushSender(settings, metrics), PushTexts(settings)
    ways = PushWays(sender, texts, MailDigests(MailOutbox(bus).store, settings))
    push = PushDelivery(database, reader, logins, ways, metrics, settings)
    others = (
        memberships, Friends(database, notifier, settings), Moderation(database, notifier, settings),
        IncomingWebhooks(database, makers, settings), OutgoingWebhooks(database, notifier, reader, makers, settings),
        MadeByAccounts(database, notifier), Reports(database, reader, metrics, settings.limits),
        SettingsOfAccounts(database), Subscriptions(database, logins, sender, texts, settings),
        GroupModes(database, notifier, settings), SubjectMetadata(database), Directory(database, settings),
        Happenings(database),
    )  # fmt: skip
    route(bus, neighbours, accounts, chats, system, delivery, push, *others)
    reconciler = DeletionReconciler(bus, accounts.unfinished_deletions, accounts.account_deleted)
    bus.subscribe(PRESENCE_INCOMPLETE, presence.receive_incomplete)
    service.open_port(DASHBOARD, partial(database.check, CHECKED_TABLES), presence.check)
    try:
        if await service.start(stopping, chats.ensure_lobby, system.ensure_system_account):
            await presence.lookup()  # presence is trusted only some time after its first lookup
            reconciler.start()
            push.start()
            if settings.outgoing_webhooks.enabled:
                delivery.start()
            await _work(service, notifier, stopping, settings.message.retention_days)
    finally:
        service.ops.phase = "draining"
        await reconciler.stop()
        await asyncio.gather(delivery.close(), push.close())
        poster.close()
        await service.stop()
        sender.close()  # notifications for tests may still use the sender until now
        await notifier.close()
        await presence.close()
        await service.close()


async def _forget(database: Database, retention_days: float) -> None:
    """Once a minute, delete the results of requests that are too old to be repeated, and the happenings of groups that
    are as old as expired messages."""
    while True:
        try:
            await database.write(requests.purge)
            if retention_days:
                await database.write(happenings.expire, now_ms() - int(retention_days * _DAY_MS), _EXPIRED_AT_ONCE)
        except RequestError as error:
            _log.warning("housekeeping postponed", error=str(error))
        await asyncio.sleep(_HOUSEKEEPING_SECONDS)


async def _work(
    service: DatabaseService, notifier: EdgeNotifier, stopping: asyncio.Event, retention_days: float
) -> None:
    """Work until `stopping` is set. A process that fails does not announce its shutdown."""
    heartbeats = Tasks()
    heartbeats.start(notifier.run(), "heartbeats")
    try:
        async with run_beside((service.neighbours.run(), _forget(service.database, retention_days))):
            await service.work(stopping)
    finally:
        await heartbeats.close()
    await notifier.announce_shutdown()
