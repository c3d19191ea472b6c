"""The edge: wiring, in one visible place; start, drain, end."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from services.edge.delivery import Delivery
from services.edge.endpoint import Endpoint
from services.edge.gateway import Gateway
from services.edge.http import HttpApp, Outcome
from services.edge.lease import Lease
from services.edge.metrics import Metrics
from services.edge.node import Node, Turn
from services.edge.notices import Notices
from services.edge.performing import Performer
from services.edge.read_flush import ReadFlush
from services.edge.residents import Residents
from services.edge.upstream import Upstream
from services.edge.watch import Watcher
from shared.bus import Bus
from shared.contract import subjects
from shared.contract.auth import OpenVerification
from shared.contract.edge import Flush, Flushed
from shared.contract.ids import NodeId
from shared.ops import OpsServer
from shared.presence import Presence
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log, new_registry

_log = log(__name__)


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run one edge until `stopping` is set, then drain it."""
    registry = new_registry()
    metrics = Metrics(registry)
    node_id = NodeId(f"{settings.edge.name}-{secrets.token_hex(3)}")
    bus = Bus(settings.nats, "edge", registry)
    presence = Presence(settings.redis)
    residents = Residents(node_id, presence)
    delivery = Delivery(bus, node_id, residents, metrics)
    upstream = Upstream(bus, node_id, settings.edge.request_seconds)
    node = Node(settings, node_id, bus, presence, metrics, residents, delivery, upstream, Turn(upstream))
    read_flush = ReadFlush(bus, residents, node.read_state)
    performer = Performer(node, read_flush.settle)
    endpoint = Endpoint(node, performer.perform)
    watcher = Watcher(node, endpoint.tell_all)
    lease = Lease(presence, node_id, residents, delivery, settings.edge.lease_seconds)
    gateway = Gateway(settings.edge, settings.limits, endpoint, HttpApp(_open_verification(bus)))
    ops = OpsServer(settings.ops, registry, {"nats": bus.check})

    delivery.listen()
    Notices(node, endpoint, performer, watcher).listen()
    bus.serve(subjects.flush(node_id), _flush(node_id, residents, read_flush))

    background = Tasks()
    await bus.start()
    delivery.start()
    background.start(lease.run(), "lease")
    background.start(watcher.run(), "watch")
    background.start(read_flush.run(), "read state")
    background.start(endpoint.keep(), "upkeep")
    await gateway.start()
    background.start(ops.run(), "ops")
    _log.info("edge started", node=node_id, port=gateway.port)
    try:
        await stopping.wait()
        ops.draining = True
        gateway.stop_accepting()
        await endpoint.drain(settings.edge.drain_seconds)
        await upstream.finish(1.0)
        await node.tasks.finish(1.0)
        await read_flush.flush()
    finally:
        await delivery.stop()
        await background.close()
        await gateway.close()
        await lease.end()
        await bus.stop()
        await presence.close()


def _open_verification(bus: Bus) -> Callable[[str, str], Awaitable[Outcome]]:
    async def opened(ticket: str, code: str) -> Outcome:
        link = OpenVerification(ticket, code)
        return (await bus.ask(subjects.OPEN_VERIFICATION, link, seconds=5.0, retry=True)).outcome

    return opened


def _flush(node: NodeId, residents: Residents, read_flush: ReadFlush) -> Callable[[Flush], Awaitable[Flushed]]:
    async def flush(request: Flush) -> Flushed:
        await read_flush.settle(request.account)
        return Flushed(node, residents.get(request.account) is not None)

    return flush
