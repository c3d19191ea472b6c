"""The open connections of this edge, and whether one more is admitted."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.edge.gateway.transport import BaseTransport
from services.edge.rate_limit import TokenBuckets
from shared.addresses import network
from shared.settings import EdgeSettings, LimitsSettings

_FLOOD_COST = 50
"""A connection that was closed for a flood counts as so many new ones of its address: budgets of a connection alone
would be new with each connection."""


class OpenSockets:
    """Times are the event loop's. An IPv6 /64 counts as one address."""

    def __init__(self, settings: EdgeSettings, limits: LimitsSettings) -> None:
        self._limit = settings.max_connections
        self._limits = limits
        self._networks: dict[BaseTransport[Any], str] = {}
        self._open: Counter[str] = Counter()
        """By network."""
        self._new = TokenBuckets(limits.new_connections_per_second, limits.new_connections_burst)
        """By network."""

    def __iter__(self) -> Iterator[BaseTransport[Any]]:
        return iter(list(self._networks))

    def reason_to_reject(self, address: str, now: float) -> str:
        """Counts one more connection of an address. Empty: it is admitted, and `add` follows."""
        if len(self._networks) >= self._limit:
            return "too many connections, try again later"
        if not self._limits.rates:
            return ""
        unit = network(address)
        if self._open[unit] >= self._limits.connections_per_address:
            return "too many connections from this address"
        return "" if self._new.take(unit, now) else "too many new connections, try again later"

    def add(self, socket: BaseTransport[Any], address: str) -> None:
        self._networks[socket] = unit = network(address)
        self._open[unit] += 1

    def discard(self, socket: BaseTransport[Any]) -> None:
        unit = self._networks.pop(socket, None)
        if unit is not None:
            if socket.is_flood:
                self._new.spend(unit, _FLOOD_COST)
            self._open[unit] -= 1
            if not self._open[unit]:
                del self._open[unit]
