"""Tests steps that a process repeats."""

import asyncio

import pytest

from services.session.service import repeating
from services.session.service.repeating import repeat
from tests.support.waiting import WAIT_SECONDS


async def test_a_quiet_step_is_repeated_when_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "_BUSY_SECONDS", 0.0)
    monkeypatch.setattr(repeating, "_QUIET_SECONDS", 10 * WAIT_SECONDS)
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
