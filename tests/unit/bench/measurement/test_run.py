import asyncio
import time

import pytest

from bench.measurement.run import CpuMeter, CpuSampler
from bench.measurement.system import MeasuredSystem


class _Still(MeasuredSystem):
    def cpu(self) -> dict[str, float]:
        return {"edge-1": time.monotonic() / 2}


def _watched(target: MeasuredSystem, start: float, end: float) -> CpuSampler:
    watch = CpuSampler(target, start, end)
    for _ in range(2):
        watch.sample()
        time.sleep(0.1)
    return watch


def test_cpu_time_is_shown_in_cores() -> None:
    watch = _watched(_Still([]), 0, time.monotonic() + 60)
    assert watch.cores()["edge-1"] == 0.5
    assert watch.others(0) is not None
    assert watch.others(1_000) == 0


def test_nothing_is_sampled_before_and_after_the_measurement() -> None:
    assert _watched(_Still([]), 0, 1).cores() == {}


def test_unknown_processes_have_no_figures() -> None:
    assert _watched(MeasuredSystem([]), 0, time.monotonic() + 60).others(0) is None


async def test_idle_cpu_time_is_no_cost() -> None:
    """10 CPU seconds per second all the time, 5 for the logins, 7 for the messages."""
    began, used = time.monotonic(), 0.0

    def read() -> dict[str, float]:
        return {"edge": used + 10.0 * (time.monotonic() - began)}

    meter = CpuMeter(read)
    used = 5.0
    assert await meter.rest(0.1) == {"edge": pytest.approx(5.0, abs=0.1)}
    assert meter.idle == {"edge": pytest.approx(10.0, abs=0.5)}
    meter.count_from(time.monotonic())
    meter.sample()
    used = 12.0
    meter.sample()
    await asyncio.sleep(0.05)
    assert meter.spent() == {"edge": pytest.approx(7.0, abs=0.1)}
