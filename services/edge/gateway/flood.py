"""Bounds the input that no request limit counts. For one connection, such input is control frames, small fragments, and
bytes; for all connections, incomplete messages. Pure: times are arguments."""

from services.edge.gateway.framing import CLOSE, POLICY_VIOLATION, PONG, TRY_LATER, ParsedFrame, ProtocolViolation
from services.edge.rate_limit import TokenBucket
from shared.settings.limits import ConnectionLimits

SMALL_FRAGMENT_BYTES = 128
"""Larger fragments are limited by their bytes."""
COUNTED_BYTES = 4096
"""Smaller reads are limited by the requests, control frames and fragments in them."""
PART_BYTES = 8192
"""A smaller read that completes nothing counts as this number of bytes, because it costs the event loop as much. No
client becomes slower by this rule: bytes that arrive during a pause are read at once."""
_BURST_SECONDS = 2.0
"""The bytes of this number of seconds may come at once."""


class FloodGuard:
    """`check` limits frames, and `pause_seconds` limits bytes. A pong that answers one of our pings is free."""

    __slots__ = ("_behind_bytes", "_control", "_limits", "_pings", "_received_at")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._control: TokenBucket | None = None
        """The bucket is made for the first frame that counts, because most connections have no such frame."""
        self._pings = 0
        """The number of pings without a pong."""
        self._behind_bytes = 0.0
        """The bytes received beyond the rate."""
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
        """Count received bytes. Returns for how many seconds nothing more may be read."""
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
        """The bytes of incomplete messages."""

    def change(self, before: int, after: int) -> None:
        """A connection holds `after` bytes instead of `before`. Raises ProtocolViolation (1013) if that is too much;
        the bytes count until the connection holds 0."""
        self.held += after - before
        if after > before and self.held > self._limit:
            raise ProtocolViolation(TRY_LATER, "the server is receiving too much, try again later")
