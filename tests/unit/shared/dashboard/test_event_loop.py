"""Tests how the lag and the tasks of the event loop are measured."""

import asyncio
import time

from prometheus_client import CollectorRegistry

from shared.dashboard.sampler import EventLoopMetrics
from shared.tasks import Tasks
from tests.support.waiting import WAIT_SECONDS


def late(registry: CollectorRegistry, seconds: str) -> float:
    """Returns how often the event loop was later than this."""
    all_of_them = registry.get_sample_value("dragoman_loop_lag_seconds_count") or 0
    return all_of_them - (registry.get_sample_value("dragoman_loop_lag_seconds_bucket", {"le": seconds}) or 0)


async def test_what_holds_the_loop_up_is_seen() -> None:
    registry = CollectorRegistry()
    tasks = Tasks()
    tasks.start(EventLoopMetrics(registry).watch(), "event loop")
    await asyncio.sleep(0.05)
    time.sleep(0.7)  # noqa: ASYNC251
    async with asyncio.timeout(WAIT_SECONDS):
        while not late(registry, "0.5"):
            await asyncio.sleep(0.01)
    await tasks.close()


async def test_tasks_that_do_not_end_are_counted() -> None:
    registry, tasks = CollectorRegistry(), Tasks()
    tasks.start(EventLoopMetrics(registry).watch(), "event loop")

    def counted() -> float:
        return registry.get_sample_value("dragoman_loop_tasks") or 0

    async with asyncio.timeout(WAIT_SECONDS):
        while not (before := counted()):
            await asyncio.sleep(0.01)
        for number in range(5):
            tasks.start(asyncio.Event().wait(), f"endless {number}")
        while counted() != before + 5:
            await asyncio.sleep(0.01)
    await tasks.close()
