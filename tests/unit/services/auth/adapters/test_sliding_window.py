"""Rate limits with sliding windows, in Redis and without Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.auth.adapters import sliding_window as module
from services.auth.adapters.sliding_window import LocalSlidingWindow, SlidingWindow
from services.auth.metrics import AuthMetrics
from services.auth.service.ports import Admission, WindowChange
from tests.support.servers import ValkeyServer

CHANGES = st.sampled_from(["add", "peek", "begin", "fail", "succeed"])
STEPS = st.lists(st.tuples(CHANGES, st.integers(0, 4), st.floats(0, 5)))


def fallbacks(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("dragoman_auth_limiter_fallbacks_total")


@pytest.fixture
async def window(valkey_server: ValkeyServer, metrics: AuthMetrics) -> AsyncIterator[SlidingWindow]:
    window = SlidingWindow(valkey_server.settings("auth"), metrics)
    yield window
    await window.close()


async def add(window: SlidingWindow, limit: int = 2, seconds: float = 60) -> int:
    return await window.add("key", seconds, limit)


async def begin(window: SlidingWindow) -> Admission:
    return await window.begin("key", 60, 2)


async def end(window: SlidingWindow, *, failed: bool) -> None:
    await window.end("key", 60, 2, failed=failed)


@pytest.mark.parametrize("with_redis", [True, False])
async def test_running_attempts_have_places_and_failed_ones_keep_them(
    window: SlidingWindow, valkey_server: ValkeyServer, with_redis: bool
) -> None:
    if not with_redis:
        valkey_server.kill()
    assert [await begin(window) for _ in range(3)] == [Admission.ADMITTED, Admission.ADMITTED, Admission.BUSY]
    assert await window.count("key", 60) == 0
    await end(window, failed=False)
    assert [await begin(window), await begin(window)] == [Admission.ADMITTED, Admission.BUSY]
    await end(window, failed=True)
    assert (await begin(window), await window.count("key", 60)) == (Admission.BUSY, 1)
    await end(window, failed=True)
    assert (await begin(window), await window.count("key", 60)) == (Admission.FULL, 2)


async def test_without_redis_the_counts_go_on_from_the_last_ones(
    window: SlidingWindow, valkey_server: ValkeyServer
) -> None:
    """Without Redis, the limit counts the earlier attempts of all replicas, but only those of this process that are
    still running.
    """
    other = SlidingWindow(valkey_server.settings("auth"), AuthMetrics(CollectorRegistry()))
    await other.begin("key", 60, 5)
    await other.end("key", 60, 5, failed=True)
    await other.begin("key", 60, 5)
    assert await window.begin("key", 60, 5) is Admission.ADMITTED
    valkey_server.kill()
    assert await window.count("key", 60) == 1
    assert [await window.begin("key", 60, 5) for _ in range(4)] == [Admission.ADMITTED] * 3 + [Admission.BUSY]
    await other.close()


async def test_concurrent_events_pass_up_to_the_limit(window: SlidingWindow, valkey_server: ValkeyServer) -> None:
    other = SlidingWindow(valkey_server.settings("auth"), AuthMetrics(CollectorRegistry()))
    counts = await asyncio.gather(*(add(each, 5) for each in [window, other] * 20))
    await other.close()
    assert sorted(counts)[:5] == [0, 1, 2, 3, 4]
    assert sorted(counts)[5:] == [5] * 35


async def test_a_window_slides(window: SlidingWindow) -> None:
    """Each event leaves the window at its own time. When the first one has left, the second one still counts."""
    assert await add(window, 2, 2.0) == 0
    await asyncio.sleep(1.4)
    assert [await add(window, 2, 2.0) for _ in range(2)] == [1, 2]
    await asyncio.sleep(0.8)
    assert [await add(window, 2, 2.0) for _ in range(2)] == [1, 2]


async def test_a_cleared_key_starts_at_zero(window: SlidingWindow) -> None:
    await add(window)
    await window.clear("key")
    assert await add(window) == 0


async def test_without_redis_this_process_counts(
    window: SlidingWindow, valkey_server: ValkeyServer, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FALLBACK_SECONDS", 0.0)
    await add(window)
    assert fallbacks(registry) == 0
    valkey_server.kill()
    assert [await add(window) for _ in range(4)] == [1, 2, 2, 2]
    await window.clear("key")
    assert await add(window) == 0
    assert fallbacks(registry) == 5
    valkey_server.start()
    assert [await add(window) for _ in range(3)] == [0, 1, 2]
    assert fallbacks(registry) == 5


async def test_a_frozen_redis_delays_one_request_only(valkey_server: ValkeyServer, metrics: AuthMetrics) -> None:
    window = SlidingWindow(valkey_server.settings("auth").model_copy(update={"timeout_seconds": 0.5}), metrics)
    await add(window)
    valkey_server.pause()
    loop = asyncio.get_running_loop()
    await add(window)
    started = loop.time()
    assert [await add(window, 5) for _ in range(10)] == [2, 3, 4, *[5] * 7]
    assert loop.time() - started < 0.25
    valkey_server.resume()
    await window.close()


@given(STEPS)
def test_local_counts_stay_within_the_limit(steps: list[tuple[WindowChange, int, float]]) -> None:
    local, now = LocalSlidingWindow(), 0.0
    for change, limit, pause in steps:
        now += pause
        before = local.change("key", 10, limit, "peek", now)
        assert local.change("key", 10, limit, change, now) == before
        events, running = before
        if change in ("add", "fail") and events < limit:
            events += 1
        if change == "begin" and sum(before) < limit:
            running += 1
        if change in ("fail", "succeed"):
            running = max(0, running - 1)
        assert local.change("key", 10, limit, "peek", now) == (events, running)


def test_local_windows_slide_and_are_bounded() -> None:
    local = LocalSlidingWindow(keys=3)
    assert [local.change("key", 10, 5, "add", now).events for now in (0, 4, 9, 10, 14.5)] == [0, 1, 2, 2, 2]
    for number in range(3):
        local.change(f"other {number}", 10, 5, "add", 15)
    assert local.change("key", 10, 5, "peek", 15) == (0, 0)
    assert local.change("other 0", 10, 5, "peek", 15) == (1, 0)


def test_a_connection_that_has_just_been_reset_counts_as_no_redis(
    valkey_server: ValkeyServer, metrics: AuthMetrics
) -> None:
    """The event loop of the product (uvloop) raises its own kind of error for a connection that was reset."""

    async def lose_connection() -> None:
        window = SlidingWindow(valkey_server.settings("auth"), metrics)
        assert await add(window) == 0
        pool = window._redis.connection_pool
        ensure = pool.ensure_connection

        async def reset_then(connection: Any) -> None:
            await ensure(connection)
            connection._writer.transport.abort()
            await asyncio.sleep(0.05)

        pool.ensure_connection = reset_then  # type: ignore[method-assign]
        assert await add(window) == 1
        await window.close()

    uvloop.run(lose_connection())
