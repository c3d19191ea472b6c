"""Wires the objects of an edge together, and starts, drains and ends the edge."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from services.edge.audit import DeliveryAuditor, MessageLocator
from services.edge.catchup.left_out import LeftOutMessages
from services.edge.catchup.missed import MissedReader, SyncRequests
from services.edge.client.endpoint import ConnectionRegistry
from services.edge.client.media_sender import MediaTransfers
from services.edge.client.session import LocalServices
from services.edge.confirmations.read_state import ReadStateFlusher
from services.edge.context import EdgeContext
from services.edge.dashboard import DASHBOARD
from services.edge.delivery.gap_filler import GapFiller
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.quotes import QuoteReader
from services.edge.delivery.receiver import DeliveryReceiver
from services.edge.delivery.resync import Resync
from services.edge.dialects.base import ServerInfo
from services.edge.dialects.registry import DIALECTS, HTTP_OPERATIONS, Dialects, enabled
from services.edge.ephemeral.hub import EphemeralHub
from services.edge.gateway import Gateway
from services.edge.gateway.open_sockets import client_sockets
from services.edge.gateway.tls import server_tls
from services.edge.handlers.accounts import AccountHandler, Forwarder, OwnDataExporter
from services.edge.handlers.auth import AuthHandler
from services.edge.handlers.dispatcher import Dispatcher, TracedHandler
from services.edge.handlers.history import ChatReads, ClientSearches, MessageHistory
from services.edge.handlers.messages import MessageChanger, MessageForwarder, MessageResolver, WebhookMessages
from services.edge.handlers.operators import IrcOperators
from services.edge.http import HttpApp, LinkPages, MediaInterface, ProgramInterface
from services.edge.http.app import TracedHttp
from services.edge.http.chat_client import ChatClient
from services.edge.http.downloads import Downloads
from services.edge.http.file_host import FileHost
from services.edge.http.first_page import FirstPage
from services.edge.http.operations import HttpOperations
from services.edge.http.policy import HttpPolicy
from services.edge.http.resumable_uploads import HttpResumableUploads
from services.edge.http.uploads import HttpUploads, UploadAccess
from services.edge.http.webhooks import HttpWebhooks
from services.edge.journal import MessageJournal
from services.edge.login.account_lookup import AccountLookup
from services.edge.login.auth_requests import AuthRequests
from services.edge.login.auth_state import AuthState
from services.edge.login.login import LoginFlow
from services.edge.login.revocations import RevocationWatcher
from services.edge.login.token_logins import TokenLoginReports
from services.edge.login.token_verifier import TokenVerifier
from services.edge.login.verification import VerificationFlow
from services.edge.media.opening import OpenedMedia, open_media
from services.edge.metrics import EdgeMetrics
from services.edge.notifications.social import NotificationReceiver, SocialNotifier
from services.edge.presence.announcer import PresenceAnnouncer
from services.edge.presence.guests import LocalGuests
from services.edge.presence.lease import Lease, Sweeper
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import coalesced_profiles, coalesced_summaries, refresh_loop
from services.edge.upstream.attempt import Leaders
from services.edge.upstream.publisher import MessagePublisher
from shared.bus.client import Bus
from shared.bus.node_identity import new_identity
from shared.contract import subjects
from shared.ops import OpsServer
from shared.presence.store import Presence
from shared.process import cancel_on, tracing
from shared.redis_server import require_kind
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry
from shared.version import VERSION

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)
_FINISH_SECONDS = 1.0
_COMMIT_SECONDS = 4.5
"""The time for two attempts to commit. If confirmations are not committed in this time, another node delivers their
messages again."""
_OPS_SECONDS = 2.0


class Edge:
    """The whole edge behind the gateway. The gateway reports each connection to `endpoint`. The caller starts the bus,
    awaits `run` until it is cancelled, and then calls `drain` and `close`."""

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry,
        dialects: Dialects = DIALECTS,
        tracer: "Tracer | None" = None,
    ) -> None:
        seconds, lease_seconds = settings.edge.request_seconds, settings.edge.lease_seconds
        identity = new_identity(settings.edge.name)
        self.id = identity.id
        self.bus = bus = Bus(settings.nats, "edge", registry, tracer, identity)
        clock, metrics, journal = asyncio.get_running_loop().time, EdgeMetrics(registry), MessageJournal()
        leaders, quotes = Leaders(settings.message.partitions), QuoteReader(bus, settings.language)
        self.publisher = MessagePublisher(bus, self.id, seconds, leaders, metrics, journal, tracer)
        self.auth_state = AuthState()
        chat_client = ChatClient(settings.edge) if settings.edge.chat else None
        server = self._server_info(settings, chat_client)
        self.context = context = EdgeContext(settings, clock, Tasks(), metrics, server)
        media = open_media(self.id, settings, metrics)
        self.media, self.media_sweeper = media.service, media.sweeper
        # The next objects hold the accounts and chats of this node.
        self.presence = Presence(settings.redis, registry)
        announcer = PresenceAnnouncer(bus.publish, self.id, lease_seconds)
        self.accounts = accounts = LocalAccounts(self.id, self.presence, settings.limits, announcer)
        self.read_state = ReadStateFlusher(bus, self.id, accounts)
        self._gaps = GapFiller(bus, accounts, self.read_state.first_undelivered, quotes, metrics, journal)
        self.chats = chats = LocalChats(accounts, self._gaps, metrics)
        self.resync = resync = Resync(bus, accounts, chats, self.read_state.first_undelivered, metrics)
        self.receiver = DeliveryReceiver(self.id, chats, resync, leaders, journal)
        self._ephemeral = ephemeral = EphemeralHub(bus, self.presence, accounts, chats, context.tasks, clock, self.id)
        ephemeral.nicks.remember_guests(settings.irc.past_guests)
        self.read_state.on_committed = ephemeral.reads.committed
        self.left_out = LeftOutMessages(bus, self.publisher, self.read_state, context.tasks, clock, settings.language)
        self.locator = MessageLocator(self.id, accounts, chats, resync, self.read_state, journal)
        self.auditor = DeliveryAuditor(bus, accounts, self.locator, chats.message_clock, metrics)
        self.lease = Lease(self.presence, self.id, accounts, resync.mark_stale, lease_seconds, metrics, announcer)
        self.sweeper = Sweeper(self.presence, self.id, lease_seconds)
        # Requests of clients
        self._summaries, self._profiles = coalesced_summaries(bus), coalesced_profiles(bus, seconds)
        self._verifier, self._token_logins = TokenVerifier(bus, metrics, self.auth_state), TokenLoginReports(bus)
        requests = AuthRequests(bus, self.id, self.auth_state)
        verification = VerificationFlow(requests, self.auth_state.clock, clock)
        self.guests = guests = LocalGuests(bus, context.tasks, ephemeral.nicks, accounts)
        social = SocialNotifier(bus, accounts, chats, context.tasks, guests.renamed)
        dispatcher = self._dispatcher(requests, verification, social, quotes, leaders)
        # Clients
        self._syncs, self.sockets = SyncRequests(bus), client_sockets(settings.edge, settings.limits)
        missed_reader = MissedReader(bus, self._syncs, self.read_state, quotes, self.left_out)
        most_transfers, own = settings.edge.transfers_at_once, ephemeral.own
        transfers = MediaTransfers(self.media, context.tasks, most_transfers, clock)
        services = LocalServices(accounts, chats, self.read_state, missed_reader, transfers, journal, own, guests)
        handler = dispatcher if tracer is None else TracedHandler(dispatcher, tracer)
        self.endpoint = ConnectionRegistry(context, services, self.publisher, handler, dialects)
        checks = self._verifier.check_with_scopes
        self._operations = HttpOperations(self.endpoint, HTTP_OPERATIONS, checks, settings, self.sockets)
        self.http = _http(bus, media, self._verifier, self._operations, self.publisher, settings, chat_client, tracer)
        # Events from the services
        self.watcher = RevocationWatcher(bus, self.auth_state, self._verifier, accounts, self.endpoint.notify_all)
        NotificationReceiver(accounts, chats, social, self.endpoint, verification, self.watcher).subscribe(bus, self.id)
        self._serve_nodes_and_operators(bus)

    def _server_info(self, settings: Settings, chat_client: ChatClient | None) -> ServerInfo:
        return ServerInfo(
            VERSION,
            ("search",) if settings.search.enabled else (),
            lambda: self.auth_state.entrance,
            settings.irc.name,
            chat_client.build if chat_client else str,
            settings.irc.guests,
            lambda: len(self.accounts),
            lambda: self._ephemeral.nicks.past_guests,
            lambda account: self._ephemeral.nicks.modes_of(account),
            settings.irc.description,
            settings.verification.registration,
            bool(settings.irc.guest_password.get_secret_value()),
            settings.irc.sts_policy,
            settings.irc.icon,
            settings.irc.create,
            settings.irc.delivery_reads,
        )

    def _dispatcher(
        self,
        requests: AuthRequests,
        verification: VerificationFlow,
        social: SocialNotifier,
        quotes: QuoteReader,
        leaders: Leaders,
    ) -> Dispatcher:
        bus, accounts, chats, auth_state, ephemeral = (
            self.bus, self.accounts, self.chats, self.auth_state, self._ephemeral
        )  # fmt: skip
        clock = self.context.clock
        lookup = AccountLookup(bus, self._summaries)
        login = LoginFlow(requests, self._verifier, verification, auth_state, accounts, lookup, self._token_logins)
        messages = MessageResolver(bus, accounts, self.media, quotes, clock)
        forwarder = Forwarder(bus)
        history = MessageHistory(bus, accounts, chats, self.read_state, quotes, self.left_out)
        search = ClientSearches(bus, chats, self.context.settings.search.enabled)
        reads = ChatReads(bus, accounts, chats, self.read_state, ephemeral.reads)
        changes = MessageChanger(bus, self.id, leaders, messages, clock)
        forwards = MessageForwarder(bus, self.publisher, messages, clock)
        parts = (
            AccountHandler(forwarder, accounts, self._profiles, self.media, ephemeral, self.guests),
            history, search, reads, changes, forwards, OwnDataExporter(bus, requests),
            IrcOperators(bus, requests, ephemeral.nicks, self.context.settings.irc.operators),
        )  # fmt: skip
        auth = AuthHandler(bus, requests, login, verification, auth_state, lookup)
        return Dispatcher(auth, messages, forwarder, ephemeral, social, parts)

    def _serve_nodes_and_operators(self, bus: Bus) -> None:
        self.receiver.subscribe(bus)
        bus.subscribe(subjects.PRESENCE_INCOMPLETE, self.presence.receive_incomplete)
        self.read_state.serve()
        self.locator.serve(bus)
        self.endpoint.recorder.serve(bus, self.id)

    async def run(self) -> None:
        """Run the background work while clients are connected. The background work ends only by a failure, after which
        the node must stop."""
        loops: dict[str, Coroutine[Any, Any, None]] = {
            "lease": self.lease.run(),
            "sweeps": self.sweeper.run(),
            "revocations": self.watcher.run(),
            "read state": self.read_state.run(),
            "losses": self.receiver.run(),
            "re-sync": self.resync.run(),
            "summaries": refresh_loop(self.bus, self.accounts),
            "connections": self.endpoint.run(),
            "wanted reads": self._ephemeral.reads.run(),
            "watched presence": self._ephemeral.watching.run(),
            "media": self.media_sweeper.run(),
            "token logins": self._token_logins.run(),
            "guests": self.guests.run(),
        }
        settings = self.context.settings.edge
        if rate := settings.audited_accounts_per_second:
            loops["audit"] = self.auditor.run(rate, settings.audit_interval_seconds)
        tasks = Tasks()
        running = [tasks.start(loop, name) for name, loop in loops.items()]
        try:
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            await tasks.close()

    async def drain(self) -> None:
        """Close the clients' connections, and commit their confirmed deliveries."""
        self._operations.stop()
        await self.endpoint.drain(self.context.settings.edge.drain_seconds)
        await self.publisher.finish(_FINISH_SECONDS)
        await self.context.tasks.finish(_FINISH_SECONDS)
        await self.read_state.flush_within(_COMMIT_SECONDS)

    async def close(self) -> None:
        await self._gaps.stop()
        await self.publisher.finish(0)
        await self.context.tasks.close()
        for lookups in (self._syncs, self._summaries, self._profiles, self.accounts, self._ephemeral):
            await lookups.close()
        await self.lease.release()
        await self.media_sweeper.close()
        await self.media.close()
        await self.bus.stop()
        await self.presence.close()


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run one edge until `stopping` is set, then drain the edge. Raises StartupError."""
    registry = new_registry()
    tracer = tracing(settings, "edge", settings.edge.name)
    edge = Edge(settings, registry, enabled(settings.edge.dialects), tracer)
    tls = server_tls(settings.edge, edge.context.metrics.certificate)
    gateway = Gateway(settings.edge, settings.limits, edge.endpoint, edge.http, edge.sockets, tls)
    dashboard = replace(DASHBOARD, name=settings.edge.name)
    optional = {"redis": edge.presence.check, "messages": edge.publisher.check}
    ops = OpsServer(settings.ops, registry, {"nats": edge.bus.check}, dashboard, optional)
    ops.phase = "starting"
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    watching = Tasks()
    if tls is not None:
        watching.start(tls.watch(), "certificate")
    try:
        await require_kind(settings.redis)
        await edge.media.prepare()
        await cancel_on(stopping, edge.bus.start())
        if not stopping.is_set():
            await _serve(edge, gateway, stopping, ops)
    finally:
        ops.phase = "draining"
        await watching.close()
        await gateway.close()
        await edge.close()
        ops.stop()
        await tasks.finish(_OPS_SECONDS)
        if tracer is not None:
            await tracer.shut_down()


async def _serve(edge: Edge, gateway: Gateway, stopping: asyncio.Event, ops: OpsServer) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(edge.run(), name="edge")
        await gateway.start()
        await gateway.start_irc(edge.context.settings.irc)
        ops.phase = "serving"
        _log.info("edge serves", node=edge.id, port=gateway.port)
        await stopping.wait()
        ops.phase = "draining"
        gateway.stop_accepting()
        await edge.drain()
        running.cancel()


def _http(
    bus: Bus,
    media: OpenedMedia,
    verifier: TokenVerifier,
    operations: HttpOperations,
    publisher: MessagePublisher,
    settings: Settings,
    chat: ChatClient | None,
    tracer: "Tracer | None",
) -> HttpApp | TracedHttp:
    first_page = FirstPage(settings.edge) if settings.edge.demo == "on" else None
    webhooks = WebhookMessages(bus, publisher, asyncio.get_running_loop().time, settings)
    programs = ProgramInterface(operations, HttpWebhooks(webhooks.post, settings.limits))
    access = UploadAccess(verifier.check_with_scopes, settings)
    uploads = HttpUploads(media.service, media.resumable, access)
    files = MediaInterface(
        Downloads(media.service),
        uploads,
        HttpResumableUploads(media.resumable, access),
        FileHost(operations, uploads, access),
    )
    links = LinkPages(bus, settings.verification.confirm_button, settings.language)
    app = HttpApp(links, files, programs, HttpPolicy(settings), first_page, chat)
    return app if tracer is None else TracedHttp(app, tracer)
