"""The clients' end of the edge: who is let in, the connections there are, and their upkeep."""

import asyncio
import random
from itertools import count

from services.edge.client import Client, Perform
from services.edge.connection import Connection, Phase
from services.edge.dialects import registry
from services.edge.dialects.base import Surroundings
from services.edge.node import Node
from services.edge.requests import Event, VerificationEnded
from services.edge.socket import Hello, Rejection, Socket, Welcome
from shared.telemetry import log

_log = log(__name__)
_EVERY_SECONDS = 0.5
_SLICE_SECONDS = 0.1
_IDLE_SECONDS = 3.0
_GOODBYE = 1012, "restarting, please reconnect"


class Endpoint:
    """See services.edge.socket.Endpoint."""

    def __init__(self, node: Node, perform: Perform) -> None:
        self._node = node
        self._perform = perform
        self._numbers = count(1)
        self.clients: dict[int, Client] = {}
        self._empty = asyncio.Event()

    def welcome(self, hello: Hello) -> Welcome | Rejection:
        by_path = registry.by_path(hello.path)
        if by_path is None and hello.path not in registry.UNDECIDED_PATHS:
            known = ", ".join(entry.path for entry in registry.DIALECTS)
            return Rejection(404, f"no such path: connect to / or to one of {known}")
        entry = registry.by_subprotocol(hello.subprotocols)
        if entry is None or by_path not in (None, entry):
            return Welcome()
        return Welcome(entry.subprotocol)

    def connected(self, hello: Hello, socket: Socket) -> Client:
        settings, now = self._node.settings, self._node.now()
        base_url = settings.edge.public_url or f"{'https' if hello.secure else 'http'}://{hello.host}"
        surroundings = Surroundings(settings.limits, base_url.rstrip("/"))
        entry = registry.by_path(hello.path) or registry.by_subprotocol(hello.subprotocols)
        dialect = entry(surroundings) if entry else None
        connection = Connection(next(self._numbers), dialect, surroundings, now)
        client = Client(self._node, connection, socket, hello.address, self._perform, self._ended)
        self.clients[connection.number] = client
        self._empty.clear()
        return client

    def tell_all(self, event: Event) -> None:
        for client in list(self.clients.values()):
            client.tell(event)

    def _ended(self, client: Client) -> None:
        self.clients.pop(client.connection.number, None)
        if not self.clients:
            self._empty.set()

    # Upkeep

    async def keep(self) -> None:
        """Pings, and what is due by the clock; one loop for all connections."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            now = self._node.now()
            for client in list(self.clients.values()):
                self._look_at(client, now)
            self._node.delivery.tick(now)
            self._count()

    def _look_at(self, client: Client, now: float) -> None:
        edge, connection = self._node.settings.edge, client.connection
        if reason := connection.overdue(now, edge.first_frame_seconds, edge.unauthenticated_seconds):
            client.hang_up(1008, reason)
        elif client.pinged_at is not None:
            if now - client.pinged_at > edge.pong_timeout_seconds:
                client.socket.abort()
        elif client.unconfirmed:
            if now - client.last_ping >= edge.confirm_interval_seconds:
                client.ping()
        elif now - client.heard >= edge.ping_interval_seconds:
            client.ping()
        if connection.withheld is not None and now >= connection.withheld.expires:
            connection.withheld = None
            client.tell(VerificationEnded("expired"))

    def _count(self) -> None:
        metrics, dialects = self._node.metrics, dict.fromkeys((entry.name for entry in registry.DIALECTS), 0)
        for client in self.clients.values():
            if client.connection.dialect is not None:
                dialects[client.connection.dialect.name] += 1
        for name, number in dialects.items():
            metrics.connections.labels(name).set(number)
        metrics.undecided.set(len(self.clients) - sum(dialects.values()))
        metrics.residents.set(len(self._node.residents))

    # End

    async def drain(self, seconds: float) -> None:
        """Tell the clients to reconnect elsewhere, spread over the time there is; what they asked for is answered
        first."""
        clients = list(self.clients.values())
        random.shuffle(clients)
        slices = max(1, round(seconds / _SLICE_SECONDS)) if len(clients) > 20 else 1
        async with asyncio.TaskGroup() as group:
            for number in range(slices):
                for client in clients[number::slices]:
                    group.create_task(_retire(client))
                await asyncio.sleep(_SLICE_SECONDS)
        if self.clients:
            try:
                await asyncio.wait_for(self._empty.wait(), _IDLE_SECONDS)
            except TimeoutError:
                _log.info("connections aborted", left=len(self.clients))
                for client in list(self.clients.values()):
                    client.socket.abort()


async def _retire(client: Client) -> None:
    """Let the client's requests be answered, then close."""
    client.socket.pause_reading()
    deadline = asyncio.get_running_loop().time() + _IDLE_SECONDS
    while not client.idle and client.connection.phase is not Phase.CLOSING:
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.02)
    client.hang_up(*_GOODBYE)
