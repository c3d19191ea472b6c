"""The clocks of a service's replicas, as the times in the replicas' messages to this node show them."""

from collections import deque

from shared.clock import now_ms, steady_ms

_SAMPLES = 60


class RemoteClock:
    """Replicas with different clocks are all believed: `earliest` is for a time at which something ends, `latest` for a
    time at which something begins. Until the time of a replica is known, both are our wall clock."""

    def __init__(self) -> None:
        self._ahead: deque[float] = deque(maxlen=_SAMPLES)
        """Milliseconds by which the replicas were ahead of us, of the last messages."""
        self._least = self._most = now_ms() - steady_ms()

    def observe(self, remote_ms: int, after_ms: float, before_ms: float) -> None:
        """The replica's clock showed `remote_ms` while our steady clock was between these times; 0: the replica does
        not tell its time. If the measured times do not exclude that both clocks are equal, they count as equal."""
        if remote_ms:
            least, most = remote_ms - before_ms, remote_ms - after_ms
            self._ahead.append(max(least, 0.0) or min(most, 0.0))
            self._least, self._most = min(self._ahead), max(self._ahead)

    def earliest(self) -> float:
        """Unix seconds."""
        return (steady_ms() + self._least) / 1000

    def latest(self) -> float:
        """Unix seconds."""
        return (steady_ms() + self._most) / 1000
