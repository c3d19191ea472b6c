"""Open loop: when each message is due, whatever became of those before it. A server that stalls cannot slow the load
down, and what is said late counts from when it should have been said: no omission hides a stall."""

_SECOND = 1_000_000_000


class Pace:
    """An even pace from `start` to `end` (nanoseconds). What is due goes out together at whole `tick`s, as it does on
    any server with many clients; its due time is the tick's."""

    def __init__(self, per_second: float, start: int, end: int, tick: int = 1_000_000) -> None:
        self._gap = _SECOND / per_second
        self._start = start
        self._end = end
        self._tick = tick
        self._count = 0

    @property
    def next(self) -> int | None:
        """When the next one is due; None after the end."""
        due = self._start + int(self._count * self._gap)
        return -(-due // self._tick) * self._tick if due < self._end else None

    def take(self, now: int) -> list[int]:
        """The due times of all that should have been said by now, each told once."""
        taken = []
        while (due := self.next) is not None and due <= now:
            taken.append(due)
            self._count += 1
        return taken
