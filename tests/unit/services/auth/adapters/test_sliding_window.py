"""Sliding windows in Redis and without it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.auth.adapters import sliding_window as module
from services.auth.adapters.sliding_window import LocalSlidingWindow, SlidingWindow
from services.auth.metrics import AuthMetrics
from services.auth.service.ports import WindowChange
from tests.support.servers import ValkeyServer

STEPS = st.lists(st.tuples(st.sampled_from(["add", "peek", "remove"]), st.integers(0, 4), st.floats(0, 5)))


def fallbacks(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("dragoman_auth_limiter_fallbacks_total")


@pytest.fixture
async def window(valkey_server: ValkeyServer, metrics: AuthMetrics) -> AsyncIterator[SlidingWindow]:
    window = SlidingWindow(valkey_server.settings("auth"), metrics)
    yield window
    await window.close()


async def add(window: SlidingWindow, limit: int = 2, seconds: float = 60) -> int:
    return await window.change("key", seconds, limit, "add")


async def test_events_count_up_to_the_limit(window: SlidingWindow) -> None:
    assert [await add(window) for _ in range(4)] == [0, 1, 2, 2]
    assert await window.change("key", 60, 0, "peek") == 2
    assert await window.change("other", 60, 0, "peek") == 0


async def test_a_removed_event_frees_its_place(window: SlidingWindow) -> None:
    changes: list[WindowChange] = ["add", "add", "remove", "peek", "add", "peek", "remove", "remove", "remove", "peek"]
    assert [await window.change("key", 60, 2, change) for change in changes] == [0, 1, 2, 1, 1, 2, 2, 1, 0, 0]


async def test_concurrent_events_pass_up_to_the_limit(window: SlidingWindow, valkey_server: ValkeyServer) -> None:
    other = SlidingWindow(valkey_server.settings("auth"), AuthMetrics(CollectorRegistry()))
    counts = await asyncio.gather(*(add(each, 5) for each in [window, other] * 20))
    await other.close()
    assert sorted(counts)[:5] == [0, 1, 2, 3, 4]
    assert sorted(counts)[5:] == [5] * 35


async def test_a_window_slides(window: SlidingWindow) -> None:
    """Each event expires on its own: the first is over while the second still counts."""
    assert await add(window, 2, 1.0) == 0
    await asyncio.sleep(0.7)
    assert [await add(window, 2, 1.0) for _ in range(2)] == [1, 2]
    await asyncio.sleep(0.4)
    assert [await add(window, 2, 1.0) for _ in range(2)] == [1, 2]


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
    assert [await add(window) for _ in range(4)] == [0, 1, 2, 2]
    await window.clear("key")
    assert await add(window) == 0
    assert fallbacks(registry) == 5
    valkey_server.start()
    assert [await add(window) for _ in range(3)] == [0, 1, 2]
    assert fallbacks(registry) == 5


async def test_a_frozen_redis_delays_one_request_only(window: SlidingWindow, valkey_server: ValkeyServer) -> None:
    await add(window)
    valkey_server.pause()
    loop = asyncio.get_running_loop()
    await add(window)
    started = loop.time()
    assert [await add(window, 5) for _ in range(10)] == [1, 2, 3, 4, *[5] * 6]
    assert loop.time() - started < 0.25
    valkey_server.resume()


@given(STEPS)
def test_local_counts_stay_within_the_limit(steps: list[tuple[WindowChange, int, float]]) -> None:
    local, now = LocalSlidingWindow(), 0.0
    for change, limit, pause in steps:
        now += pause
        before = local.change("key", 10, limit, "peek", now)
        assert local.change("key", 10, limit, change, now) == before
        after = local.change("key", 10, limit, "peek", now)
        expected = {"add": before + 1 if before < limit else before, "peek": before, "remove": max(0, before - 1)}
        assert after == expected[change]


def test_local_windows_slide_and_are_bounded() -> None:
    local = LocalSlidingWindow(keys=3)
    assert [local.change("key", 10, 5, "add", now) for now in (0, 4, 9, 10, 14.5)] == [0, 1, 2, 2, 2]
    for number in range(3):
        local.change(f"other {number}", 10, 5, "add", 15)
    assert local.change("key", 10, 5, "peek", 15) == 0
    assert local.change("other 0", 10, 5, "peek", 15) == 1
