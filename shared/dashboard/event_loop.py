"""Measures the event loop: its lag, by which all work of the process is delayed at least, and its tasks."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Gauge, Histogram

_EVERY_SECONDS = 0.1
_COUNT_EVERY = 10
"""Tasks are counted each second: that takes time in proportion to their number."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class EventLoopMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "dragoman_loop_lag_seconds", "How late the event loop was", buckets=_SECONDS, registry=registry
        )
        self._tasks = Gauge("dragoman_loop_tasks", "Unfinished tasks of the event loop", registry=registry)

    async def watch(self) -> None:
        while True:
            self._tasks.set(len(asyncio.all_tasks()))
            for _ in range(_COUNT_EVERY):
                due = time.monotonic() + _EVERY_SECONDS
                await asyncio.sleep(_EVERY_SECONDS)
                self._seconds.observe(max(0.0, time.monotonic() - due))
