"""Waits until a condition holds, which is checked whenever something has happened."""

import asyncio
from collections.abc import Callable


class Bell:
    """One for each trial: its server and its drivers ring it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether it holds in time."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self._event.wait()
        except TimeoutError:
            return holds()
        return True
