"""Background work gets its share of a core, and at least a part of it while other work takes the core."""

import asyncio

import pytest

from services.session.service import cpu_share
from services.session.service.cpu_share import CpuShare


class Clocks:
    """Clocks of a process. Each step takes CPU time, and the rests take none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = 100.0
        monkeypatch.setattr(cpu_share, "monotonic", lambda: self.wall)
        monkeypatch.setattr(cpu_share, "process_time", lambda: self.cpu)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.wall += seconds

    async def work(self, share: CpuShare, steps: int, cpu: float, wall: float) -> float:
        """Returns the seconds that the steps take."""
        began = self.wall
        for _ in range(steps):
            await share.rest(0.25)
            self.cpu += cpu
            self.wall += wall
        return self.wall - began


async def test_the_work_takes_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    share = CpuShare(0.02)
    assert await clocks.work(share, 1_000, 0.001, 0.001) == pytest.approx(4.0, rel=0.01)
    assert await clocks.work(share, 1_000, 0.001, 0.004) == pytest.approx(4.0, rel=0.01), "it takes no more than that"
    clocks.cpu += 10
    assert await clocks.work(share, 1_000, 0.004, 0.004) == pytest.approx(16.0, rel=0.01)
    assert await clocks.work(share, 100, 0.1, 0.1) == pytest.approx(12.0, rel=0.01), "each rest is short"


async def test_a_step_that_takes_long_delays_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, share = Clocks(monkeypatch), CpuShare(0.02)
    clocks.cpu += 0.03
    clocks.wall += 0.03
    assert await clocks.work(share, 6, 0.0, 0.0) == pytest.approx(0.09), "this is a quarter"
    clocks.wall += 10
    assert await clocks.work(share, 1, 0.0, 0.0) == 0.0, "the first step after a pause is not delayed"


async def test_each_step_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, share = Clocks(monkeypatch), CpuShare(0.02)
    for each in (0.5, 0.1):
        await share.rest(each)
        clocks.cpu += 0.001
        clocks.wall += 0.001
    began = clocks.wall
    await share.rest(0.1)
    assert clocks.wall - began == pytest.approx(0.009)
