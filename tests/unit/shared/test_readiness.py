"""Checks of dependencies: a result is valid for a moment and shared, and a check that hangs makes no caller wait."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from shared import ops
from shared.ops import Readiness
from tests.support.waiting import WAIT_SECONDS


class FakeDependency:
    """A dependency that works, fails or hangs, as the test sets it."""

    def __init__(self) -> None:
        self.checks = 0
        self.error = ""
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self) -> None:
        self.checks += 1
        await self.gate.wait()
        if self.error:
            raise ConnectionError(self.error)


@asynccontextmanager
async def probing(
    registry: CollectorRegistry, required: FakeDependency, optional: FakeDependency
) -> AsyncIterator[Readiness]:
    probed = Readiness(registry, {"database": required.check}, {"redis": optional.check})
    try:
        yield probed
    finally:
        await probed.close()


def metric(registry: CollectorRegistry, name: str) -> float | None:
    return registry.get_sample_value("dragoman_ready", {"dependency": name})


async def test_a_result_is_shared_and_valid_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, database, redis, later = CollectorRegistry(), FakeDependency(), FakeDependency(), 0.0
    monkeypatch.setattr(ops, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + later))
    async with probing(registry, database, redis) as probed:
        assert await asyncio.gather(*(probed.failures() for _ in range(5))) == [{}] * 5
        database.error = "disk full"
        assert await probed.failures() == {}
        assert (database.checks, redis.checks) == (1, 0)
        assert metric(registry, "database") == 1
        later = ops._VALID_SECONDS
        assert await probed.failures() == {"database": "ConnectionError: disk full"}
        assert metric(registry, "database") == 0
        database.error = ""
        assert await probed.failures() == {}


async def test_a_hanging_check_is_neither_awaited_nor_cancelled_nor_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "_CHECK_SECONDS", 0.05)
    registry, database, redis = CollectorRegistry(), FakeDependency(), FakeDependency()
    database.gate.clear()
    async with probing(registry, database, redis) as probed:
        for _ in range(3):
            assert await probed.failures() == {"database": "no answer in time"}
        assert (database.checks, metric(registry, "database")) == (1, 0)
        database.gate.set()
        await asyncio.sleep(0.01)
        assert await probed.failures() == {}
        assert metric(registry, "database") == 1


async def test_a_check_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(ops, "_ABANDONED_SECONDS", 0.01)
    database = FakeDependency()
    database.gate.clear()
    async with probing(CollectorRegistry(), database, FakeDependency()) as probed:
        await probed.failures()
        await probed.failures()
        assert database.checks == 2


async def test_the_metric_is_updated_without_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, database, redis = CollectorRegistry(), FakeDependency(), FakeDependency()
    redis.error = "away"
    async with probing(registry, database, redis) as probed:
        watching = asyncio.ensure_future(probed.watch())
        async with asyncio.timeout(WAIT_SECONDS):
            while metric(registry, "database") != 1:
                await asyncio.sleep(0.01)
        watching.cancel()
        assert metric(registry, "redis") == 0
        assert await probed.degradations() == {"redis": "ConnectionError: away"}
