"""The edge: wiring, in one visible place; start, drain, end."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from services.edge.catchup.reader import BacklogReader
from services.edge.client.endpoint import ConnectionRegistry
from services.edge.client.media_sender import MediaTransfers
from services.edge.client.session import LocalServices
from services.edge.context import EdgeContext
from services.edge.dashboard import DASHBOARD
from services.edge.delivery.gap_filler import GapFiller
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.receiver import EnvelopeReceiver
from services.edge.delivery.resync import Resync
from services.edge.dialects.registry import DIALECTS, Dialects
from services.edge.gateway import Gateway
from services.edge.handlers.dispatcher import Dispatcher
from services.edge.handlers.tracing import TracedHandler
from services.edge.http import HttpApp, VerificationResult
from services.edge.http.downloads import Downloads
from services.edge.http.tracing import TracedHttp
from services.edge.http.uploads import HttpUploads
from services.edge.login.login import LoginFlow
from services.edge.login.revocations import RevocationWatcher
from services.edge.login.token_verifier import TokenVerifier
from services.edge.media import MediaService
from services.edge.media.directory import DirectoryStore
from services.edge.media.disk import Disk
from services.edge.metrics import EdgeMetrics
from services.edge.notifications.receiver import NotificationReceiver
from services.edge.notifications.social import SocialNotifier
from services.edge.presence.lease import Lease
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import coalesced_profiles, coalesced_summaries, refresh_loop
from services.edge.receipts.read_state_flusher import ReadStateFlusher
from services.edge.rpc.sync_requests import SyncRequests
from services.edge.upstream.publisher import MessagePublisher
from services.edge.upstream.tick_batcher import TickBatcher
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import OpenVerification
from shared.contract.ids import NodeId
from shared.ops import OpsServer
from shared.presence import Presence
from shared.process import cancel_on, tracing
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)
_FINISH_SECONDS = 1.0
_OPS_SECONDS = 2.0


class Edge:
    """Everything behind the gateway, which reports to `endpoint`. Start the bus, then `run` until it is cancelled,
    `drain`, `close`."""

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry,
        dialects: Dialects = DIALECTS,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._settings = settings
        self.id = NodeId(f"{settings.edge.name}-{secrets.token_hex(3)}")
        self.bus = Bus(settings.nats, "edge", registry, tracer)
        self._presence = Presence(settings.redis, registry)
        metrics = EdgeMetrics(registry)
        self.residents = LocalAccounts(self.id, self._presence, settings.limits)
        self._gaps = GapFiller(self.bus, self.residents, metrics)
        self.chats = LocalChats(self.residents, self._gaps, metrics)
        self.resync = Resync(self.bus, self.residents, self.chats, metrics)
        self.delivery = EnvelopeReceiver(self.id, self.chats, self.resync)
        self.upstream = MessagePublisher(self.bus, self.id, settings.edge.request_seconds, tracer)
        self.read_flush = ReadStateFlusher(self.bus, self.id, self.residents)
        syncs = SyncRequests(self.bus)
        self.node = EdgeContext(
            settings, self.id, self.bus, metrics, self.residents, self.chats, self.upstream, self.read_flush,
            TickBatcher(self.upstream), _media(settings, metrics), coalesced_summaries(self.bus),
            coalesced_profiles(self.bus, settings.edge.request_seconds), syncs,
            BacklogReader(self.bus, syncs, self.read_flush),
        )  # fmt: skip
        gate = TokenVerifier(self.bus, metrics)
        uploads = HttpUploads(self.node.media, gate.check, settings)
        http = HttpApp(_open_verification(self.bus), Downloads(self.node.media), uploads)
        self.http = http if tracer is None else TracedHttp(http, tracer)
        entrance = LoginFlow(self.node, gate)
        performer = Dispatcher(self.node, entrance)
        performs = performer if tracer is None else TracedHandler(performer, tracer)
        transfers = MediaTransfers(self.node.media, self.node.tasks, settings.edge.transfers_at_once)
        services = LocalServices(self.residents, self.chats, self.read_flush, self.node.backlogs, transfers)
        self.endpoint = ConnectionRegistry(self.node, services, self.upstream, performs, dialects, self.delivery.tick)
        self.watcher = RevocationWatcher(self.node, gate, self.endpoint.notify_all)
        lease_seconds = settings.edge.lease_seconds
        self.lease = Lease(self._presence, self.id, self.residents, self.resync.mark_stale, lease_seconds, metrics)
        self.delivery.subscribe(self.bus)
        self.read_flush.serve()
        social = SocialNotifier(self.bus, self.residents, self.chats, self.node.tasks)
        NotificationReceiver(self.residents, self.chats, social, self.endpoint, entrance, self.watcher).subscribe(
            self.bus, self.id
        )

    async def run(self) -> None:
        """What goes on beside the clients. Ends only by failing, which the node cannot live with."""
        loops: dict[str, Coroutine[Any, Any, None]] = {
            "lease": self.lease.run(),
            "watch": self.watcher.run(),
            "read state": self.read_flush.run(),
            "re-sync": self.resync.run(),
            "faces": refresh_loop(self.bus, self.residents),
            "upkeep": self.endpoint.run(),
        }
        tasks = Tasks()
        running = [tasks.start(loop, name) for name, loop in loops.items()]
        try:
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            await tasks.close()

    async def drain(self) -> None:
        """Send the clients elsewhere, and commit what they have got."""
        await self.endpoint.drain(self._settings.edge.drain_seconds)
        await self.upstream.finish(_FINISH_SECONDS)
        await self.node.tasks.finish(_FINISH_SECONDS)
        await self.read_flush.flush()

    async def close(self) -> None:
        await self._gaps.stop()
        await self.upstream.finish(0)
        await self.node.close()
        await self.lease.release()
        await self.node.media.close()
        await self.bus.stop()
        await self._presence.close()


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run one edge until `stopping` is set, then drain it."""
    registry = new_registry()
    tracer = tracing(settings, "edge", settings.edge.name)
    edge = Edge(settings, registry, tracer=tracer)
    gateway = Gateway(settings.edge, settings.limits, edge.endpoint, edge.http)
    ops = OpsServer(settings.ops, registry, {"nats": edge.bus.check}, replace(DASHBOARD, name=settings.edge.name))
    tasks = Tasks()
    tasks.start(ops.run(), "operations port")
    try:
        await edge.node.media.prepare()
        await cancel_on(stopping, edge.bus.start())
        if not stopping.is_set():
            await _serve(edge, gateway, stopping, ops)
    finally:
        ops.draining = True
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
        _log.info("edge serves", node=edge.id, port=gateway.port)
        await stopping.wait()
        ops.draining = True
        gateway.stop_accepting()
        await edge.drain()
        running.cancel()


def _media(settings: Settings, metrics: EdgeMetrics) -> MediaService:
    disk, store = Disk(), None
    if settings.media.bucket_url:
        from services.edge.media.bucket import BucketStore  # its library costs memory

        store = BucketStore(settings.media)
    return MediaService(store or DirectoryStore(settings.media.directory, disk), settings, metrics, disk)


def _open_verification(bus: Bus) -> Callable[[str, str], Awaitable[VerificationResult]]:
    async def opened(ticket: str, code: str) -> VerificationResult:
        link = OpenVerification(ticket, code)
        return (await bus.request(subjects.OPEN_VERIFICATION, link, seconds=5.0, retry=True)).outcome

    return opened
