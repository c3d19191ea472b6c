"""Estimates the clocks of a service's replicas from the times in the replicas' messages."""

from collections import deque

from shared.clock import now_ms, steady_ms

_SAMPLES = 60


class RemoteClock:
    """The replicas may have different clocks, and each may be right. Use `earliest` for the time at which something
    ends, and `latest` for the time at which something begins. Until the time of a replica is known, both return our
    wall clock."""

    def __init__(self) -> None:
        self._ahead: deque[float] = deque(maxlen=_SAMPLES)
        """For each of the last messages, by how many milliseconds the replica's clock was ahead of ours."""
        self._least = self._most = now_ms() - steady_ms()

    def observe(self, remote_ms: int, after_ms: float, before_ms: float) -> None:
        """Note that a replica's clock showed `remote_ms` while our steady clock was between the two other times. With
        0, the replica has sent no time. If the clocks can be equal according to these times, they count as equal."""
        if remote_ms:
            least, most = remote_ms - before_ms, remote_ms - after_ms
            self._ahead.append(max(least, 0.0) or min(most, 0.0))
            self._least, self._most = min(self._ahead), max(self._ahead)

    def earliest(self) -> float:
        """The time on the replica's clock that is furthest behind, in Unix seconds."""
        return (steady_ms() + self._least) / 1000

    def latest(self) -> float:
        """The time on the replica's clock that is furthest ahead, in Unix seconds."""
        return (steady_ms() + self._most) / 1000
