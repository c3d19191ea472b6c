"""Open-loop pacing: due times do not depend on earlier messages. A stalled server does not slow the load down, and
latency counts from the due time, which avoids coordinated omission."""

_SECOND = 1_000_000_000


class Pace:
    """An even rate from `start` to `end` (nanoseconds). Due times are rounded up to whole steps, so that messages of a
    step are sent together, as by many clients."""

    def __init__(self, per_second: float, start: int, end: int, step: int = 1_000_000) -> None:
        self._gap = _SECOND / per_second
        self._start = start
        self._end = end
        self._step = step
        self._count = 0

    @property
    def next(self) -> int | None:
        """The next due time; None after the end."""
        due = self._start + int(self._count * self._gap)
        return -(-due // self._step) * self._step if due < self._end else None

    def pop_due(self, now: int) -> list[int]:
        """The due times up to `now` that were not returned before."""
        due_times = []
        while (due := self.next) is not None and due <= now:
            due_times.append(due)
            self._count += 1
        return due_times
