"""An edge estimates the clocks of a service's replicas."""

import pytest

from services.edge.rpc import remote_clock
from services.edge.rpc.remote_clock import RemoteClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sets the monotonic clock in milliseconds. The edge's wall clock is a minute ahead of it."""
    now = [1_000_000.0]
    monkeypatch.setattr(remote_clock, "now_ms", lambda: now[0] + 60_000)
    monkeypatch.setattr(remote_clock, "steady_ms", lambda: now[0])
    return now


def test_without_a_message_it_is_our_wall_clock(now: list[float]) -> None:
    clock = RemoteClock()
    clock.observe(0, now[0], now[0])
    assert (clock.earliest(), clock.latest()) == (1060, 1060)


def test_it_runs_on_from_the_replicas_time(now: list[float]) -> None:
    clock = RemoteClock()
    clock.observe(4_600_000, now[0], now[0])
    now[0] += 1000
    assert clock.earliest() == clock.latest() == 4601


def test_the_clocks_of_several_replicas_count(now: list[float]) -> None:
    clock = RemoteClock()
    clock.observe(500_000, now[0], now[0])
    clock.observe(1_000_000, now[0], now[0])
    clock.observe(4_000_000, now[0], now[0])
    assert (clock.earliest(), clock.latest()) == (500, 4000)
    for _ in range(60):
        clock.observe(1_000_000, now[0], now[0])
    assert (clock.earliest(), clock.latest()) == (1000, 1000)


def test_equal_clocks_are_equal_however_long_a_reply_takes(now: list[float]) -> None:
    clock = RemoteClock()
    clock.observe(999_000, 998_000, now[0])
    clock.observe(999_999, 999_500, now[0])
    assert (clock.earliest(), clock.latest()) == (1000, 1000)


def test_a_clock_is_at_least_so_far_off(now: list[float]) -> None:
    clock = RemoteClock()
    clock.observe(1_003_000, 999_000, now[0])
    assert clock.earliest() == clock.latest() == 1003
    clock = RemoteClock()
    clock.observe(990_000, 999_000, now[0])
    assert clock.earliest() == clock.latest() == 991
