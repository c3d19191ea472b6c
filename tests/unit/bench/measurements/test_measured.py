"""Tests the figures of CPU time. The clock moves only when a measurement waits."""

from types import SimpleNamespace

import pytest

from bench.measurements import measured as run
from bench.measurements.measured import CpuMeter, CpuSampler
from bench.system.system import MeasuredSystem


class WaitingClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WaitingClock:
    clock = WaitingClock()
    monkeypatch.setattr(run, "time", clock)
    monkeypatch.setattr(run, "asyncio", SimpleNamespace(sleep=clock.sleep))
    return clock


class _HalfCore(MeasuredSystem):
    def __init__(self, clock: WaitingClock) -> None:
        super().__init__([])
        self._clock = clock

    def cpu(self) -> dict[str, float]:
        return {"edge-1": self._clock.now / 2}


def _watched(target: MeasuredSystem, clock: WaitingClock, end: float) -> CpuSampler:
    watch = CpuSampler(target, 0, end)
    for _ in range(2):
        watch.sample()
        clock.wait(0.1)
    return watch


def test_cpu_time_is_shown_in_cores(clock: WaitingClock) -> None:
    watch = _watched(_HalfCore(clock), clock, clock.now + 60)
    assert watch.cores()["edge-1"] == 0.5
    assert watch.others(0) is not None
    assert watch.others(1_000) == 0


def test_nothing_is_sampled_before_and_after_the_measurement(clock: WaitingClock) -> None:
    assert _watched(_HalfCore(clock), clock, 1).cores() == {}


def test_unknown_processes_have_no_figures(clock: WaitingClock) -> None:
    assert _watched(MeasuredSystem([]), clock, clock.now + 60).others(0) is None


async def test_idle_cpu_time_is_no_cost(clock: WaitingClock) -> None:
    """The system uses 10 CPU seconds per second all the time, 5 for the logins, and 7 for the messages."""
    began, used = clock.now, 0.0

    def read() -> dict[str, float]:
        return {"edge": used + 10.0 * (clock.now - began)}

    meter = CpuMeter(read)
    clock.wait(0.2)
    used = 5.0
    assert await meter.rest(0.1) == {"edge": pytest.approx(5.0)}
    assert meter.idle == {"edge": pytest.approx(10.0)}
    meter.count_from(clock.now)
    meter.sample()
    used = 12.0
    meter.sample()
    clock.wait(0.05)
    assert meter.spent() == {"edge": pytest.approx(7.0)}
