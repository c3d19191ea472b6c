"""The pace of an open loop. The due times of messages do not depend on earlier messages, so a slow server does not slow
down the load. A latency counts from the due time of its message. So the waiting of messages that were sent late is
included (no coordinated omission)."""

_SECOND = 1_000_000_000


class Pace:
    """An even rate from `start` to `end` (nanoseconds). Due times are rounded up to whole steps. So all messages of a
    step are sent together, as if many clients sent them."""

    def __init__(self, per_second: float, start: int, end: int, step: int = 1_000_000) -> None:
        self._gap = _SECOND / per_second
        self._start = start
        self._end = end
        self._step = step
        self._count = 0

    @property
    def next(self) -> int | None:
        """The next due time, or None after the end."""
        due = self._start + int(self._count * self._gap)
        return -(-due // self._step) * self._step if due < self._end else None

    def pop_due(self, now: int) -> list[int]:
        """The due times up to `now` that were not returned before."""
        due_times = []
        while (due := self.next) is not None and due <= now:
            due_times.append(due)
            self._count += 1
        return due_times
