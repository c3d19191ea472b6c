"""One run of an edge: what its connections share. It decides nothing itself."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from services.edge.delivery import Delivery
from services.edge.metrics import Metrics
from services.edge.reading import ReadState
from services.edge.residents import Residents
from services.edge.upstream import Upstream
from shared.bus import Bus
from shared.contract.ids import NodeId
from shared.presence import Presence
from shared.settings import Settings
from shared.tasks import Tasks


class Advances(Protocol):
    def advance(self) -> None: ...


class Turn:
    """Connections that received something in this turn of the event loop: they go on at its end, all together, so
    that what they say makes one request."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._waiting: dict[Advances, None] = {}

    def add(self, connection: Advances) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._end)
        self._waiting[connection] = None

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for connection in waiting:
            connection.advance()
        self._upstream.flush()


@dataclass(eq=False)
class Node:
    settings: Settings
    id: NodeId
    bus: Bus
    presence: Presence
    metrics: Metrics
    residents: Residents
    delivery: Delivery
    upstream: Upstream
    turn: Turn
    read_state: ReadState = field(default_factory=ReadState)
    tasks: Tasks = field(default_factory=Tasks)
    maintenance: bool = False

    @staticmethod
    def now() -> float:
        """The monotonic clock that connections and dialects are given."""
        return asyncio.get_running_loop().time()
