"""What a process notes while it is measured: spans of time by second, counts, and its own use of the processor."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.load.histogram import Histogram
from bench.load.protocol import Totals
from bench.load.verifier import Faults

SECOND = 1_000_000_000
_REFUSALS = 20


class Series:
    """Spans of one kind. They belong to the second in which they were due to begin."""

    def __init__(self) -> None:
        self.by_second: dict[int, Histogram] = {}
        self._start = self._end = 0

    def open(self, start: int, end: int) -> None:
        self._start, self._end = start, end

    def record(self, due: int, now: int) -> None:
        """Nanoseconds; what was due before or after the measurement is not noted."""
        if self._start <= due < self._end:
            second = (due - self._start) // SECOND
            histogram = self.by_second.get(second)
            if histogram is None:
                histogram = self.by_second[second] = Histogram()
            histogram.record((now - due) // 1000)


class Recorder:
    """Notes spans once it is `open`: from `start` to `end`, nanoseconds of the monotonic clock. Counts go on all the
    time; `watch` takes what they grow by meanwhile."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self.faults = Faults()
        self._refusals: dict[str, int] = {}
        self._series: dict[str, Series] = {}
        self._counts: dict[str, int] = {}
        self._cores = 0.0

    def series(self, name: str) -> Series:
        return self._series.setdefault(name, Series())

    def open(self, start: int, seconds: float) -> None:
        self.start, self.end = start, start + int(seconds * SECOND)
        for series in self._series.values():
            series.open(self.start, self.end)

    def rejected(self, reason: str) -> None:
        if reason in self._refusals or len(self._refusals) < _REFUSALS:
            self._refusals[reason] = self._refusals.get(reason, 0) + 1

    async def watch(self, counts: Callable[[], dict[str, int]]) -> None:
        """Until the end of the measurement."""
        await until(self.start)
        self._counts = counts()
        with self.working():
            await until(self.end)
        self._counts = {name: count - self._counts.get(name, 0) for name, count in counts().items()}

    @contextmanager
    def working(self) -> Iterator[None]:
        """Meanwhile this process takes its part of the processors."""
        since, used = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self._cores = (time.process_time() - used) / (time.monotonic() - since)

    def totals(self) -> Totals:
        series = {name: series.by_second for name, series in self._series.items()}
        return Totals(self.faults, series, self._counts, self._refusals, self._cores)


async def until(moment: int) -> None:
    """Nanoseconds of the monotonic clock. Others have their turn even when it is over."""
    await asyncio.sleep(max(0, moment - time.monotonic_ns()) / SECOND)
