"""The event loop's lag."""

import asyncio
import time

from prometheus_client import CollectorRegistry

from shared.dashboard.event_loop_lag import EventLoopLag
from shared.tasks import Tasks


def late(registry: CollectorRegistry, seconds: str) -> float:
    """How often it was later than this."""
    all_of_them = registry.get_sample_value("dragoman_loop_lag_seconds_count") or 0
    return all_of_them - (registry.get_sample_value("dragoman_loop_lag_seconds_bucket", {"le": seconds}) or 0)


async def test_what_holds_the_loop_up_is_seen() -> None:
    registry = CollectorRegistry()
    tasks = Tasks()
    tasks.start(EventLoopLag(registry).watch(), "lag")
    await asyncio.sleep(0.05)
    time.sleep(0.7)  # noqa: ASYNC251
    async with asyncio.timeout(5):
        while not late(registry, "0.5"):
            await asyncio.sleep(0.01)
    await tasks.close()
