"""Limits the input that no limit on requests counts. For one connection, this input is control frames, small fragments,
and bytes. For all connections together, it is incomplete messages. This module is pure: it does no I/O, and gets times
as arguments."""

from services.edge.gateway.framing import CLOSE, POLICY_VIOLATION, PONG, TRY_LATER, ParsedFrame, ProtocolViolation
from services.edge.rate_limit import TokenBucket
from shared.settings.limits import ConnectionLimits

SMALL_FRAGMENT_BYTES = 128
"""Fragments of this size or larger are limited only by their bytes."""
COUNTED_BYTES = 4096
"""Reads of this size or larger count against the rate of bytes. Smaller reads are limited by the requests, control
frames and fragments in them."""
PART_BYTES = 8192
"""A smaller read that completes no message counts as this number of bytes, because it costs the event loop as much.
This rule slows down no normal client, because all bytes that arrive during a pause are read at once."""
_BURST_SECONDS = 2.0
"""The bytes that the rate permits in this number of seconds may also arrive at once."""


class FloodGuard:
    """Limits the input of one connection. `check` limits frames, and `pause_seconds` limits bytes. A pong that answers
    one of our pings does not count."""

    __slots__ = ("_behind_bytes", "_control", "_limits", "_pings", "_received_at")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._control: TokenBucket | None = None
        """The limit on control frames and small fragments. It is made for the first such frame, because most
        connections have none."""
        self._pings = 0
        """The number of our pings that have no pong yet."""
        self._behind_bytes = 0.0
        """The bytes that count against the rate, as of the last read."""
        self._received_at = 0.0

    def ping_sent(self) -> None:
        self._pings += 1

    def check(self, frame: ParsedFrame, now: float) -> None:
        """Count a control frame or a fragment. Raises ProtocolViolation (1008) beyond the rate."""
        if frame.opcode == PONG and self._pings:
            self._pings -= 1
            return
        if frame.opcode < CLOSE and len(frame.payload) >= SMALL_FRAGMENT_BYTES:
            return
        limits = self._limits
        if not limits.rates:
            return
        if self._control is None:
            self._control = TokenBucket(limits.control_frames_per_second, limits.control_frames_burst, now)
        if not self._control.take(now):
            raise ProtocolViolation(POLICY_VIOLATION, "too many control frames or small fragments")

    def pause_seconds(self, received: int, now: float) -> float:
        """Count received bytes. Returns the number of seconds for which nothing more may be read."""
        rate = self._limits.received_bytes_per_second
        if not self._limits.rates:
            return 0.0
        waiting = max(0.0, self._behind_bytes - (now - self._received_at) * rate)
        self._behind_bytes, self._received_at = waiting + received, now
        return max(0.0, self._behind_bytes / rate - _BURST_SECONDS)


class ReceiveBudget:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0
        """The bytes of the incomplete messages of all connections."""

    def change(self, before: int, after: int) -> None:
        """Note that a connection holds `after` bytes instead of `before`. Raises ProtocolViolation (1013) if all
        connections together hold too much. Then the bytes count until the connection reports that it holds 0."""
        self.held += after - before
        if after > before and self.held > self._limit:
            raise ProtocolViolation(TRY_LATER, "the server is receiving too much, try again later")
