"""Waits until a condition holds. The condition is checked after each action of the server or of a driver."""

import asyncio
from collections.abc import Callable


class Bell:
    """Wakes the task that waits for a condition, whenever the server or a driver of the run has done something."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Waits until the condition holds. Returns False if the time is over first."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self._event.wait()
        except TimeoutError:
            return holds()
        return True
