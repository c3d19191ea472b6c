"""Counts the open connections of one kind on an edge, and decides whether to admit a new one."""

from collections import Counter
from collections.abc import Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from services.edge.gateway.handshake import Networks, in_networks
from services.edge.rate_limit import TokenBuckets, log_rate
from shared.addresses import network
from shared.settings.edge import EdgeSettings
from shared.settings.limits import ConnectionLimits
from shared.telemetry import log

_log = log(__name__)
_FLOOD_COST = 100
"""A connection that was closed because of a flood counts as this number of new connections of its address. Without this
cost, each new connection of a flooding client would begin with a full budget."""


class _Connection(Protocol):
    @property
    def is_flood(self) -> bool:
        """Whether the connection was closed because of a flood."""


class ClientSocket(_Connection, Protocol):
    """A WebSocket, a connection by plain TCP, or a stream of events."""

    def abort(self) -> None: ...


C = TypeVar("C", bound=_Connection)


class AddressLimits(NamedTuple):
    """The limits of one address: for open connections and for new connections."""

    open: int
    per_second: float
    burst: float


class OpenSockets(Generic[C]):
    """Admits at most `limit` connections. Times are on the event loop's clock. An IPv6 /64 network counts as one
    address. Without `of_address`, and for addresses in `exempt`, only the total number is limited."""

    def __init__(self, limit: int, of_address: AddressLimits | None, exempt: Networks = ()) -> None:
        self._limit = limit
        self._of_address = of_address
        self._exempt = exempt
        self._networks: dict[C, str] = {}
        self._open: Counter[str] = Counter()
        """The number of open connections of each network."""
        self._new = TokenBuckets(of_address.per_second, of_address.burst) if of_address else None
        """The rate of new connections of each network."""
        self._log_rate = log_rate(0.0)

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._networks))

    def reason_to_reject(self, address: str, now: float) -> str:
        """Count one more connection of an address, and return the reason to reject it. If the text is empty, the
        connection is admitted, and the caller must call `add`."""
        reason = self._reason(address, now)
        if reason and self._log_rate.take(now):
            _log.warning("connection rejected", reason=reason, address=address)
        return reason

    def _reason(self, address: str, now: float) -> str:
        if len(self._networks) >= self._limit:
            return "too many connections, try again later"
        if self._of_address is None or self._new is None or in_networks(address, self._exempt):
            return ""
        unit = network(address)
        if self._open[unit] >= self._of_address.open:
            return "too many connections from this address"
        return "" if self._new.take(unit, now) else "too many new connections, try again later"

    def add(self, socket: C, address: str) -> None:
        self._networks[socket] = unit = network(address)
        self._open[unit] += 1

    def discard(self, socket: C) -> None:
        unit = self._networks.pop(socket, None)
        if unit is not None:
            if socket.is_flood and self._new is not None:
                self._new.spend(unit, _FLOOD_COST)
            self._open[unit] -= 1
            if not self._open[unit]:
                del self._open[unit]


def client_sockets(settings: EdgeSettings, limits: ConnectionLimits) -> OpenSockets[ClientSocket]:
    """The connections of all clients of an edge, over any transport."""
    rate, burst = limits.new_connections_per_second, limits.new_connections_burst
    of_address = AddressLimits(limits.connections_per_address, rate, burst) if limits.rates else None
    return OpenSockets(settings.max_connections, of_address)
