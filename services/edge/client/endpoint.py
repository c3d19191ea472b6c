"""Accepts connections, calls all connections twice a second for their time limits, and closes all connections at
shutdown."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from math import ceil

from services.edge.canonical.events import Event
from services.edge.canonical.transport import Accept, Handshake, Reject, Socket
from services.edge.client.client import Client
from services.edge.client.connection import Connection
from services.edge.client.posts import Iteration
from services.edge.client.requests import RequestHandler
from services.edge.client.session import LocalServices
from services.edge.confirmations.confirmation import confirms_per_tick
from services.edge.context import EdgeContext
from services.edge.dialects import registry
from services.edge.dialects.base import ConnectionInfo
from services.edge.gateway.handshake import WebOrigins, is_own_page
from services.edge.rate_limit import TokenBucket, log_rate
from services.edge.recording import FrameRecorder
from services.edge.upstream.publisher import MessagePublisher
from shared.clock import until_next
from shared.telemetry import log

_log = log(__name__)
_TICK_SECONDS = 0.5
_TICKS_PER_COUNT = 4
_EMPTY_SECONDS = 5.0
"""The pause between two updates of the gauges while there is no connection."""
_PART_CONNECTIONS = 400
"""The most connections whose timers run without a pause. The connections are divided into such parts, which run at
intervals within half a second. If all pings were sent at once, they would delay messages."""
_SLICE_SECONDS = 0.1
_ONE_SLICE_CONNECTIONS = 20
"""With at most this number of connections, all are closed at the same moment."""
_REPLY_SECONDS = 3.0
_CLOSE_SECONDS = 3.5
_ORIGIN_CHARACTERS = 200
_PROXY_LOG_SECONDS = 300.0
"""The pause between two log lines about untrusted proxies, because such a proxy forwards many clients."""
_RESTARTING = 1012, "restarting, please reconnect"


class ConnectionCounts:
    """Counts of connections, taken while the timers of all connections run."""

    def __init__(self) -> None:
        self.by_dialect = Counter[str]()
        self.undecided = self.tcp = 0

    def add(self, clients: Iterable[Client]) -> None:
        for connection in [client.connection for client in clients]:
            if connection.dialect is None:
                self.undecided += 1
            else:
                self.by_dialect[connection.dialect.name] += 1
            self.tcp += not connection.info.binary


class ConnectionRegistry:
    """Implements services.edge.canonical.transport.Endpoint. `dialects`: the enabled dialects."""

    def __init__(
        self,
        context: EdgeContext,
        services: LocalServices,
        publisher: MessagePublisher,
        handler: RequestHandler,
        dialects: registry.Dialects,
    ) -> None:
        self._context = context
        self._services = services
        self._iteration = Iteration(publisher)
        self._handler = handler
        self._dialects = dialects
        edge = context.settings.edge
        self._origins = WebOrigins([*edge.allowed_origins, *edge.chat_embedders], edge.public_url)
        self._origin_log = log_rate(context.clock())
        self._proxy_log = TokenBucket(1 / _PROXY_LOG_SECONDS, 1, context.clock())
        self._numbers = count(1)
        self.clients: dict[int, Client] = {}
        self.recorder = FrameRecorder(self.clients)
        self._empty = asyncio.Event()
        self._occupied = asyncio.Event()

    def accept(self, hello: Handshake) -> Accept | Reject:
        if hello.untrusted_proxy:
            self._count_untrusted_proxy(hello)
        by_path = registry.by_path(hello.path, self._dialects)
        if by_path is None and hello.path not in registry.UNDECIDED_PATHS:
            known = ", ".join(entry.path for entry in self._dialects)
            return Reject(404, f"there is no such path: connect to / or to one of {known}")
        if not self._origins.permits(hello):
            self._log_rejected_origin(hello)
            return Reject(403, "pages of this origin may not connect: see edge.public_url and edge.allowed_origins")
        found = registry.by_subprotocol(hello.subprotocols, self._dialects)
        if found is None or by_path not in (None, found[0]):
            return Accept()
        entry, subprotocol = found
        return Accept(subprotocol, binary=subprotocol == entry.binary)

    def _count_untrusted_proxy(self, hello: Handshake) -> None:
        self._context.metrics.untrusted_proxies.inc()
        if self._proxy_log.take(self._context.clock()):
            _log.warning(
                "X-Forwarded-For was ignored: if your proxy has this address, add it to edge.trusted_proxies",
                address=hello.address, setting="edge.trusted_proxies",
            )  # fmt: skip

    def _log_rejected_origin(self, hello: Handshake) -> None:
        if self._origin_log.take(self._context.clock()):
            own = is_own_page(hello)
            _log.warning(
                "a web page may not connect. If the page's host is a name of this system, set edge.public_url"
                if own
                else "a web page may not connect",
                origin=hello.origin[:_ORIGIN_CHARACTERS],
                host=hello.host[:_ORIGIN_CHARACTERS],
                address=hello.address,
                setting="edge.public_url" if own else "edge.allowed_origins",
            )

    def connected(self, hello: Handshake, socket: Socket) -> Client:
        settings, now = self._context.settings, self._context.clock()
        base_url = hello.base_url(settings.edge.public_url)
        ping_seconds = settings.edge.ping_interval_seconds
        info = ConnectionInfo(
            settings.limits, base_url, hello.query, hello.binary, settings.language, ping_seconds,
            server=self._context.server,
        )  # fmt: skip
        entry = self._requested(hello)
        dialect = entry(info) if entry else None
        connection = Connection(next(self._numbers), hello.address, dialect, self._dialects, info, now)
        client = Client(self._context, self._services, self._iteration, self._handler, connection, socket, self._remove)
        self.clients[connection.number] = client
        self.recorder.connected(client)
        self._empty.clear()
        self._occupied.set()
        return client

    def _requested(self, hello: Handshake) -> registry.Entry | None:
        by_path = registry.by_path(hello.path, self._dialects)
        found = registry.by_subprotocol(hello.subprotocols, self._dialects)
        return by_path or (found[0] if found else None)

    def notify_all(self, event: Event) -> None:
        for client in list(self.clients.values()):
            client.notify(event)

    def _remove(self, client: Client) -> None:
        self.clients.pop(client.connection.number, None)
        if not self.clients:
            self._empty.set()
            self._occupied.clear()

    async def run(self) -> None:
        """Run the timers of all connections twice a second, and update the gauges every two seconds."""
        for tick in count():
            clients, counts = list(self.clients.values()), ConnectionCounts()
            is_counted = tick % _TICKS_PER_COUNT == 0
            parts = max(1, ceil(len(clients) / _PART_CONNECTIONS))
            pings = ceil(confirms_per_tick(len(clients), _TICK_SECONDS, self._context.settings.edge) / parts)
            size = max(1, ceil(len(clients) / parts))
            for start in range(0, len(clients), size):
                if start:
                    await asyncio.sleep(until_next(_TICK_SECONDS / parts))
                part = clients[start : start + size]
                self._tick(part, pings)
                if is_counted:
                    counts.add(part)
            if is_counted or not clients:
                self._update_gauges(counts)
            await asyncio.sleep(until_next(_TICK_SECONDS / parts))
            if not clients:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EMPTY_SECONDS):
                        await self._occupied.wait()

    def _tick(self, clients: Sequence[Client], pings: int) -> None:
        """Run the timers of these connections. `pings`: the most connections to ping now for a delivery
        confirmation."""
        now = self._context.clock()
        for client in clients:
            pings -= client.on_timer(now, may_confirm=pings > 0)

    def _update_gauges(self, counts: ConnectionCounts) -> None:
        metrics = self._context.metrics
        for entry in self._dialects:
            metrics.connections.labels(entry.name).set(counts.by_dialect[entry.name])
        metrics.undecided.set(counts.undecided)
        metrics.tcp.set(counts.tcp)
        metrics.accounts.set(len(self._services.accounts))
        metrics.chats.set(len(self._services.chats))

    async def drain(self, seconds: float) -> None:
        """Close the connections over a period of `seconds`, each after its requests are answered. The clients reconnect
        to other nodes."""
        clients = list(self.clients.values())
        random.shuffle(clients)
        slices = max(1, round(seconds / _SLICE_SECONDS)) if len(clients) > _ONE_SLICE_CONNECTIONS else 1
        for number in range(slices):
            for client in clients[number::slices]:
                client.close_gracefully(*_RESTARTING)
            await asyncio.sleep(_SLICE_SECONDS if slices > 1 else 0)
        if not await self._emptied(_REPLY_SECONDS):
            for client in list(self.clients.values()):
                client.close(*_RESTARTING)
        if not await self._emptied(_CLOSE_SECONDS):
            _log.info("connections aborted", left=len(self.clients))
            for client in list(self.clients.values()):
                client.socket.abort()
            await self._emptied(_SLICE_SECONDS)

    async def _emptied(self, seconds: float) -> bool:
        if self.clients:
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                return False
        return True
