"""Tests steps that a process repeats."""

import asyncio

import pytest

from services.session.service import background
from services.session.service.background import CpuShare, repeat
from tests.support.waiting import WAIT_SECONDS


async def test_a_quiet_step_is_repeated_when_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_BUSY_SECONDS", 0.0)
    monkeypatch.setattr(background, "_QUIET_SECONDS", 10 * WAIT_SECONDS)
    steps: asyncio.Queue[None] = asyncio.Queue()

    async def step() -> bool:
        steps.put_nowait(None)
        return False

    stopping, woken = asyncio.Event(), asyncio.Event()
    repeating_steps = asyncio.create_task(repeat(step, stopping, 0.01, "tests", woken))
    async with asyncio.timeout(WAIT_SECONDS):
        await steps.get()
        for _ in range(3):
            woken.set()
            await steps.get()
    await asyncio.sleep(0.05)
    assert steps.empty(), "the step is repeated as if it were busy"
    stopping.set()
    woken.set()
    await repeating_steps


class Clocks:
    """Clocks of a process. Each step takes CPU time, and the rests take none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = 100.0
        monkeypatch.setattr(background, "monotonic", lambda: self.wall)
        monkeypatch.setattr(background, "process_time", lambda: self.cpu)
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
