"""Admission control, pure: estimates the delay of a queued message from the duration of the last cycles."""

from collections import deque

_CYCLES = 8


class QueueDelayEstimator:
    """Only cycles that left requests in the queue show the capacity; unless all of the last ones did, the queue is
    short and the delay 0. The fastest of them counts, so that a single stall does not look like overload."""

    def __init__(self) -> None:
        self._seconds_per_message: deque[float] = deque(maxlen=_CYCLES)

    def observe(self, messages: int, seconds: float, *, full: bool) -> None:
        """Record one cycle. `full`: requests were left in the queue."""
        if full:
            self._seconds_per_message.append(seconds / messages)
        else:
            self._seconds_per_message.clear()

    def estimate(self, messages: int) -> float:
        """Seconds until this many messages are answered."""
        if len(self._seconds_per_message) < _CYCLES:
            return 0.0
        return messages * min(self._seconds_per_message)
