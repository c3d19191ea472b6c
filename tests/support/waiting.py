"""Waiting for an event that must come."""

import asyncio
from collections.abc import Callable

WAIT_SECONDS = 60.0
"""The longest wait. A machine may stop a process for many seconds, or give it a tenth of a core."""


async def until(condition: Callable[[], object]) -> None:
    """Looks again and again: for conditions of which no event tells."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)
