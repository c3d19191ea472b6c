"""Waits for conditions that must become true."""

import asyncio
import time
from collections.abc import Callable

WAIT_SECONDS = 60.0
"""The longest wait. A machine may stop a process for many seconds, or give it only a tenth of a core."""


async def until(condition: Callable[[], object]) -> None:
    """Checks a condition repeatedly until it holds. It is for conditions of which no event tells."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def block_until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Does the same as `until` in code without an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
