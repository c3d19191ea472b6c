"""Waits until a condition holds. The condition is checked whenever the server or a driver has done something."""

import asyncio
from collections.abc import Callable


class Bell:
    """Wakes the waiter of a run when the run's server or drivers have done something."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Returns whether the condition holds in time."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self._event.wait()
        except TimeoutError:
            return holds()
        return True
