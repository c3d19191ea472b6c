"""The clocks of a service's replicas, as far as its messages to this node tell them: messages carry their times."""

from collections import deque

from shared.clock import steady_ms

_SAMPLES = 60


class RemoteClock:
    """Replicas whose clocks differ are all believed: `earliest` is for a time that ends something, `latest` for one
    that begins it. Both are our own clock until the time of a replica is known."""

    def __init__(self) -> None:
        self._ahead: deque[float] = deque(maxlen=_SAMPLES)
        """Milliseconds by which the replicas were ahead of us, of the last messages."""
        self._least = self._most = 0.0

    def observe(self, remote_ms: int, after_ms: float, before_ms: float) -> None:
        """It was `remote_ms` there when our steady clock was between these; 0: the replica does not tell its time. If
        that allows for equal clocks, they are taken as equal."""
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
