"""Records the latencies of each second, the counts, and the CPU use of a worker process during the measurement."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.load.histogram import Histogram
from bench.load.protocol import Totals
from bench.load.verifier import Faults

SECOND = 1_000_000_000
_MAX_REASONS = 20


class Series:
    """Histograms of the latencies of one kind. There is one for each second, which contains the due times of the
    messages."""

    def __init__(self) -> None:
        self.by_second: dict[int, Histogram] = {}
        self._start = self._end = 0

    def open(self, start: int, end: int) -> None:
        self._start, self._end = start, end

    def record(self, due: int, now: int) -> None:
        """Count one latency. Both times are in nanoseconds. A due time outside the measurement is ignored."""
        if self._start <= due < self._end:
            second = (due - self._start) // SECOND
            histogram = self.by_second.get(second)
            if histogram is None:
                histogram = self.by_second[second] = Histogram()
            histogram.record((now - due) // 1000)


class Recorder:
    """Collects latencies after `open`, from `start` to `end` (nanoseconds of the monotonic clock). Counters count all
    the time, and `watch` stores how much they grow during the measurement."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self.faults = Faults()
        self._rejections: dict[str, int] = {}
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
        if reason in self._rejections or len(self._rejections) < _MAX_REASONS:
            self._rejections[reason] = self._rejections.get(reason, 0) + 1

    async def watch(self, counts: Callable[[], dict[str, int]]) -> None:
        """Wait for the end of the measurement, and store how much the counters have grown."""
        await until(self.start)
        self._counts = counts()
        with self.working():
            await until(self.end)
        self._counts = {name: count - self._counts.get(name, 0) for name, count in counts().items()}

    @contextmanager
    def working(self) -> Iterator[None]:
        """Measure the CPU cores that this process uses inside the block."""
        since, used = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self._cores = (time.process_time() - used) / (time.monotonic() - since)

    def totals(self) -> Totals:
        series = {name: series.by_second for name, series in self._series.items()}
        return Totals(self.faults, series, self._counts, self._rejections, self._cores)


async def until(moment: int) -> None:
    """Sleep until `moment` (nanoseconds of the monotonic clock). Other tasks get their turn even if the moment has
    passed."""
    await asyncio.sleep(max(0, moment - time.monotonic_ns()) / SECOND)
