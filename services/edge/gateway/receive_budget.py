"""Bounds the memory of messages that have not arrived completely, over all connections of this edge."""

from services.edge.gateway.framing import TRY_LATER, ProtocolViolation


class ReceiveBudget:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0
        """Bytes of incomplete messages."""

    def change(self, before: int, after: int) -> None:
        """A connection holds `after` bytes instead of `before`. Raises ProtocolViolation (1013) if that is too much;
        they are held until the connection holds 0."""
        self.held += after - before
        if after > before and self.held > self._limit:
            raise ProtocolViolation(TRY_LATER, "the server is receiving too much, try again later")
