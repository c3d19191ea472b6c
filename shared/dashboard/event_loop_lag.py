"""Measures the lag of the event loop: all work of the process is delayed at least as much."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Histogram

_EVERY_SECONDS = 0.1
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class EventLoopLag:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "dragoman_loop_lag_seconds", "How late the event loop was", buckets=_SECONDS, registry=registry
        )

    async def watch(self) -> None:
        while True:
            due = time.monotonic() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self._seconds.observe(max(0.0, time.monotonic() - due))
